"use strict";
// A reviewer's list: returns an annotator's pilot.
const { csrf } = JSON.parse(document.getElementById("data").textContent);
const status = document.getElementById("status");

async function giveBack(button) {
  button.disabled = true;
  try {
    const reply = await fetch(`/review/${button.dataset.annotator}/return`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-csrf-token": csrf },
      body: "{}",
    });
    if (reply.ok) { location.reload(); return; }
    status.textContent = (await reply.json()).error;
  } catch { status.textContent = "The server doesn't answer. Try again later."; }
  status.classList.add("bad");
  button.disabled = false;
}

for (const button of document.querySelectorAll(".return")) button.addEventListener("click", () => giveBack(button));
