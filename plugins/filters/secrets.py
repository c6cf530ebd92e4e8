"""Secrets: a sample with a key, a password in an address, a card number or an IBAN is turned down, unless asked for."""

from curator import CuratedSample, Filter, hookimpl, secrets_of


@hookimpl
def register_filters() -> list[Filter]:
    """Return the filter; `curate run --keep-secrets` leaves it out."""
    return [Filter("secret", secret)]


def secret(sample: CuratedSample) -> str | None:
    """Turn down a sample of which any text holds a secret; the detail names the kinds, never what was found."""
    # A question made from the reply has words of it alone, so what it holds the reply holds: half the time is saved.
    texts = [] if sample.metadata.question == "passage" else [sample.user_text]
    texts.append(sample.assistant_text)
    for turn in sample.context:
        texts += (turn.user_text, turn.assistant_text)
    kinds = secrets_of(texts)
    return f"secret: {', '.join(kinds)}" if kinds else None
