"""Reading a tiny model back, and its share of right answers, for the tests of microworld and bench."""

import json

import numpy as np
from transformers import AutoModelForCausalLM, AutoTokenizer

from tunescope.microworld import make_world
from tunescope.microworld.model import MARKER, MicroModel, option_scores


def load_model(folder):
    """Load a folder that `MicroModel.save` wrote, with its world."""
    recipe = json.loads((folder / MARKER).read_text("utf-8"))
    world = make_world(recipe.pop("world_seed"), recipe.pop("n_people"))
    model = AutoModelForCausalLM.from_pretrained(folder)
    return MicroModel(world, model, AutoTokenizer.from_pretrained(folder), recipe)


def accuracy(model, tokenizer, questions):
    """Return the share of questions whose true option scores highest; chance is 0.25."""
    best = option_scores(model, tokenizer, questions).argmax(axis=1)
    return float(np.mean(best == [question.gold for question in questions]))
