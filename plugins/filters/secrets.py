"""Secrets: a sample with a key, a password in an address, a card number or an IBAN is turned down, unless asked for."""

from curator import CuratedSample, Filter, hookimpl, secrets_of


@hookimpl
def register_filters() -> list[Filter]:
    """Return the filter; `curate run --keep-secrets` leaves it out."""
    return [Filter("secret", secret)]


def secret(sample: CuratedSample) -> str | None:
    """Turn down a sample of which any text holds a secret; the detail names the kinds, never what was found."""
    earlier = (text for turn in sample.context for text in (turn.user_text, turn.assistant_text))
    kinds = secrets_of((sample.user_text, sample.assistant_text, *earlier))
    return f"secret: {', '.join(kinds)}" if kinds else None
