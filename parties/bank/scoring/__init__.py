"""The bank's side of joint scoring: client with deadline and breaker, own part of a score, tokens."""
