"""Makes the table of prices that comes with skyproxy from the data of genai-prices, a dependency of tests alone:

    python -m tests.price_table

See :mod:`skyproxy.telemetry.prices.table` for its form. What cannot be told in it is left out: models that are not paid
for by the token, and those whose reasoning costs something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timezone
from decimal import Decimal
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().parents[1] / "skyproxy" / "telemetry" / "prices" / "models.txt"

# Nothing that skyproxy asks for answers there, or other prices hold than those of tokens.
LEFT_OUT = ("cursor", "elevenlabs", "github-copilot", "openai-decisions", "typesafe", "voyageai")
LEFT_OUT_BEGINNING = "huggingface_"
OTHER_PRICES = ("requests_kcount", "output_reasoning_mtok", "output_citation_mtok")


def main() -> None:
    """Write the table."""
    TABLE.write_text(table(datetime.now(timezone.utc).date()), "utf-8")
    print(f"{TABLE}: {TABLE.stat().st_size:,} bytes")


def table(today: date) -> str:
    """The table, of what holds *today* and is known of later days."""
    from genai_prices.data import providers

    kept = [each for each in providers if each.id not in LEFT_OUT and not each.id.startswith(LEFT_OUT_BEGINNING)]
    names = {each.id for each in kept}
    lines = [
        f"# Prices of models on {today}, by `python -m tests.price_table` from genai-prices {version('genai-prices')}",
        "# (https://github.com/pydantic/genai-prices), whose licence is:",
        *(f"# {line}".rstrip() for line in licence().splitlines()),
    ]
    for provider in kept:
        models = [line for model in provider.models if (line := model_line(model, today))]
        if models:
            others = [name for name in provider.fallback_model_providers or () if name in names]
            lines += [" ".join([f"@{provider.id}", provider.api_pattern, *others]), *models]
    return "\n".join(lines) + "\n"


def licence() -> str:
    """That of genai-prices."""
    for path in distribution("genai-prices").files or ():
        if path.name == "LICENSE":
            return Path(str(path.locate())).read_text("utf-8").strip()
    raise FileNotFoundError("genai-prices has no licence")


def model_line(model: Any, today: date) -> str | None:
    """The line of *model*; None: it has no price in tokens."""
    prices = price_text(model, today)
    names = "|".join(dict.fromkeys(names_of(model.match)))
    if prices is None or " " in names:
        return None
    window = f";@{model.context_window}" if model.context_window else ""
    return f"{prices}{window} {names}"


def names_of(match: Any) -> Iterator[str]:
    """What *match* takes, in the table's words."""
    if hasattr(match, "or_"):
        for each in match.or_:
            yield from names_of(each)
    elif hasattr(match, "and_"):
        yield "&".join(name for each in match.and_ for name in names_of(each))
    elif hasattr(match, "equals"):
        yield match.equals.lower()
    elif hasattr(match, "starts_with"):
        yield f"={match.starts_with.lower()}*"
    elif hasattr(match, "ends_with"):
        yield f"=*{match.ends_with.lower()}"
    elif hasattr(match, "contains"):
        yield f"=*{match.contains.lower()}*"
    else:
        # It begins with ^, as the table wants it, which has no | and no & in patterns.
        yield match.regex.replace("(?:$|-)", "(?![^-])")


def price_text(model: Any, today: date) -> str | None:
    """The prices of *model*; None: they are none of tokens."""
    if not isinstance(model.prices, list):
        return whole_text(model.prices)
    usual, hours, days = model.prices[0].prices, [], []
    for each in model.prices[1:]:
        condition = each.constraint
        if hasattr(condition, "start_time"):
            hours.append((condition, each.prices))
        elif condition.start_date <= today:
            usual = each.prices
        else:
            days.append((condition.start_date, each.prices))
    text = whole_text(usual)
    others = [f"{day}={whole_text(prices)}" for day, prices in days]
    others += [
        f"{condition.start_time:%H:%M}-{condition.end_time:%H:%M}={whole_text(prices)}" for condition, prices in hours
    ]
    if text is None or any("None" in each or each.count("=") > 1 for each in others):
        return None
    return ";".join([text, *others])


def whole_text(prices: Any) -> str | None:
    """*prices* with those of long prompts."""
    said = {name: value for name, value in prices.__dict__.items() if value is not None}
    if "input_mtok" not in said or any(name in said for name in OTHER_PRICES):
        return None
    kinds = [said["input_mtok"], said.get("output_mtok", Decimal(0)), said.get("cache_read_mtok", said["input_mtok"])]
    starts = sorted({tier.start for value in kinds for tier in getattr(value, "tiers", ())})
    return ";".join([rate_text(kinds, -1), *(f">{start}={rate_text(kinds, start)}" for start in starts)])


def rate_text(kinds: list[Any], start: int) -> str:
    """Those for prompts of more than *start* tokens."""
    prompt, completion, cached = (amount(value, start) for value in kinds)
    return f"{prompt}/{completion}" if cached == prompt else f"{prompt}/{completion}/{cached}"


def amount(value: Any, start: int) -> str:
    """One price."""
    if hasattr(value, "tiers"):
        value = next((tier.price for tier in reversed(value.tiers) if tier.start <= start), value.base)
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


if __name__ == "__main__":
    main()
