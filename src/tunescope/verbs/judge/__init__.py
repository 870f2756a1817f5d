"""Which system answers better: an oracle judges answers, and judgements become tables and rankings."""
