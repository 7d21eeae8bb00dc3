"""Writes `sample.jsonl`, the stream that the demonstration replays: `python -m service.demo.compose_sample`.

Every company, person and publisher in it is made up. Six simulated hours of ordinary news and comments on all topics,
with two incidents: a true surge of negative opinion on Northgate Bank from many publishers, and one wire item about
Calder Mining sent again and again by its two publishers. The same seed gives the same file.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from domain.timeline import to_rfc3339

SAMPLE = Path(__file__).with_name("sample.jsonl")
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOURS = 6
SURGE_AT = START + timedelta(hours=3, minutes=30)
WIRE_AT = START + timedelta(hours=2, minutes=15)

COMPANIES = [
    ("Alder Foods", "ALDF"), ("Brightwater Energy", "BWE"), ("Calder Mining", "CLDR"), ("Dunmore Airlines", "DNMR"),
    ("Eastvale Software", "EVS"), ("Fennick Pharma", "FNK"), ("Garrow Steel", "GRW"), ("Halden Motors", "HLDN"),
    ("Ivory Lane Retail", "IVLR"), ("Juniper Peak REIT", "JPR"), ("Kestrel Semiconductor", "KSTL"),
    ("Lowland Telecom", "LWLT"), ("Meridian Shipping", "MRSH"), ("Northgate Bank", "NGB"), ("Orchard Biotech", "ORCB"),
    ("Pellworth Insurance", "PLW"), ("Quayside Media", "QSM"), ("Redfern Oil", "RDFN"), ("Stonebridge Capital", "STB"),
    ("Tarn Robotics", "TRNR"),
]  # fmt: skip
PUBLISHERS = [
    "Harbour Wire", "Market Lantern", "The Ledger Post", "Capital Courier", "Tradewind News", "Sterling Bulletin",
    "Exchange Daily", "The Basis Point", "Alpha Gazette", "Continental Desk", "Morning Tape", "Closing Bell Review",
    "Pacific Financial", "Frontier Markets Today",
]  # fmt: skip
AUTHORS = [
    "tapewatcher", "quietcompounder", "maplebull", "gammaray", "deltaneutral", "oldpitboss", "yieldhunter",
    "value_vera",
    "nightowl_fx", "chartmonk", "slowmoney", "breadwinner", "contango_kid", "thirdquartile", "ledgerlass", "penny_wise",
    "barbell_ben", "coveredcal", "riskoff_rita", "greenshoots",
]  # fmt: skip

NEWS = {
    "Analyst Update": [
        "${t} - {c} upgraded to Buy at Stonebridge on margin recovery",
        "${t} - {c} downgraded to Sell at Harrow & Pike on slowing demand",
        "Analysts raise price target on {c} to {n} from {m} after strong channel checks",
        "{c} price target cut to {m} at Lindqvist, analyst cites weak order book",
        "Harrow & Pike starts {c} at Hold, sees balanced risk and reward",
    ],
    "Fed | Central Banks": [
        "Fed's policymakers signal patience on rates as inflation cools",
        "ECB holds rates steady, says decisions stay data dependent",
        "Bank of England governor says further rate rises are possible if wages stay hot",
        "Central bank minutes show officials split over the pace of {p} basis point cuts",
        "Fed official says the next meeting is live, declines to pre-commit",
    ],
    "Company | Product News": [
        "{c} launches new service for small businesses in {p} markets",
        "${t}: {c} opens a second plant, to hire {p}00 workers",
        "{c} and Eastvale Software extend their partnership on cloud systems",
        "${t} - {c} recalls {p},000 units over a faulty part",
        "{c} unveils next generation platform at annual customer day",
    ],
    "Treasuries | Corporate Debt": [
        "Treasury yields little changed ahead of ten-year auction",
        "{c} prices ${p}00 million of senior notes due 2033",
        "Two-year Treasury yield rises {p} basis points after jobs figures",
        "Corporate bond spreads tighten as investors return to credit",
        "{c} announces pricing of upsized convertible notes offering",
    ],
    "Dividend": [
        "${t} - {c} declares $0.{p} dividend",
        "{c} raises quarterly dividend by {p}%, the tenth rise in a row",
        "${t} - {c} declares quarterly distribution of $0.{p} per share, in line with previous",
        "{c} suspends its dividend to preserve cash",
    ],
    "Earnings": [
        "{c} Q4 earnings call transcript: results and outlook",
        "${t}: {c} beats on profit and revenue, raises full-year guidance",
        "{c} misses quarterly earnings estimates as costs climb",
        "What to expect from {c} earnings this week",
        "{c} reports record quarterly profit on strong demand",
    ],
    "Energy | Oil": [
        "Oil prices steady as traders weigh supply against demand outlook",
        "Brent crude climbs {p}% after output cut is extended",
        "US crude inventories rise by {p} million barrels, weekly report shows",
        "Oil futures slide as demand worries deepen, Brent down ${p} a barrel",
        "Natural gas storage builds ahead of forecasts in weekly data",
    ],
    "Financials": [
        "${t} - {c} GAAP EPS of $1.{p} beats by $0.0{q}, revenue of $1.{q}B beats by $20M",
        "${t} - {c} Non-GAAP EPS of $0.{p} misses by $0.1{q}, revenue of ${q}10M misses by $15M",
        "${t} - {c} GAAP EPS of $0.{p} in-line, revenue of ${q}40M",
        "${t}: {c} beats by $0.0{q}, beats on revs; guides Q2 EPS above consensus",
    ],
    "Currencies": [
        "Dollar edges higher against the yen in quiet trade",
        "Euro slips to a {p}-week low against the dollar",
        "Sterling gains after stronger than expected services data",
        "Emerging market currencies fall as the dollar strengthens",
    ],
    "General News | Opinion": [
        "City marathon draws record crowd despite the rain",
        "Opinion: why patience is the rarest skill in business",
        "Heavy snow closes schools across the northern counties",
        "New museum of engineering to open in the old dockyard",
        "Opinion: remote work is here to stay, and that is fine",
    ],
    "Gold | Metals | Materials": [
        "Gold steady as investors await inflation data",
        "Gold prices rise {p}% as the dollar weakens",
        "Copper falls to a {p}-month low on weak factory demand",
        "Silver and platinum little changed in thin holiday trading",
    ],
    "IPO": [
        "{c} spin-off files for IPO, seeks to raise ${p}00 million",
        "Payments start-up prices IPO above range at ${p} a share",
        "Cloud kitchen operator postpones IPO as markets turn choppy",
        "Newly listed drone maker opens {p}% above IPO price on debut",
    ],
    "Legal | Regulation": [
        "Regulator opens consultation on disclosure rules for brokers",
        "{c} sued by shareholders over accounting statements",
        "Court dismisses patent case against {c}",
        "{c} to pay ${p} million to settle antitrust probe",
    ],
    "M&A | Investments": [
        "{c} to acquire logistics software firm for ${p}00 million",
        "Stonebridge Capital takes {p}% stake in {c}",
        "{c} completes acquisition of regional rival",
        "Talks over the sale of {c}'s packaging unit end without a deal",
    ],
    "Macro": [
        "US CPI rises 0.{p}% in February, in line with estimates",
        "Euro zone manufacturing PMI at 4{p}.2 (est 4{p}.0)",
        "Jobless claims fall to {p}10,000, below expectations",
        "UK retail sales drop 0.{p}% as shoppers cut back",
        "China industrial production grows {p}.1% from a year earlier",
    ],
    "Markets": [
        "Stocks open mixed as traders await data",
        "Nasdaq leads Wall Street higher as tech rallies",
        "European shares close lower, weighed down by autos",
        "S&P 500 futures flat in early trading",
        "Asian markets end the session little changed",
    ],
    "Politics": [
        "Senate passes infrastructure bill after late night vote",
        "Prime minister to meet trade delegation next week",
        "President signs executive order on data privacy",
        "Coalition talks continue as parties argue over the budget",
    ],
    "Personnel Change": [
        "{c} names new chief financial officer",
        "${t} - {c} CEO to step down at the end of the year, board begins search",
        "{c} appoints former regulator to its board of directors",
        "{c} promotes operations head to president",
    ],
    "Stock Movement": [
        "${t} shares +{p}% after {c} raises outlook",
        "${t} (-{p}% pre) {c} slides on weak guidance",
        "{c} stock jumps {p}% on takeover interest",
        "Why {c} shares are moving today",
        "${t} shares -{p}% as {c} warns on profit",
    ],
}
COMMENTS = {
    "Stock Commentary": [
        "${t} long term thesis unchanged, adding a little every month",
        "Anyone else watching ${t} into the close?",
        "${t} - {c}: a quality business at a fair price",
        "${t} chart looks broken, I am out until it holds support",
        "${t} holding the 50 day nicely, could break out this week",
        "Not sure what to make of ${t} here, sitting on my hands",
        "${t} - {c}: too expensive for what you get",
        "Great execution at {c}, ${t} deserves a higher multiple",
    ],
    "Stock Movement": [
        "${t} up {p}% today, nice move",
        "${t} getting hit again, down {p}% on no news",
        "${t} volume picking up, watching {n}",
    ],
    "Markets": [
        "Choppy session, futures going nowhere",
        "Breadth is improving, more new highs than new lows today",
        "Tape feels heavy, sellers on every bounce",
    ],
    "Energy | Oil": [
        "Crude inventories build again, not a surprise this time of year",
        "Oil bid today after the output news",
    ],
    "Fed | Central Banks": [
        "Fed speakers all day tomorrow, expect noise",
        "Rate cut odds barely moved after the minutes",
    ],
}

SURGE_NEWS = [
    "Northgate Bank shares plunge as depositors pull cash after failed capital raise",
    "$NGB slumps {p}% as Northgate Bank discloses large losses on its bond portfolio",
    "Northgate Bank hit by wave of withdrawals, shares halted after sharp fall",
    "$NGB - Northgate Bank downgraded to Sell on liquidity fears",
    "Northgate Bank shares sink further as rival lenders cut credit lines",
    "Regulators probe Northgate Bank over misstated losses, shares tumble",
    "Northgate Bank crisis deepens: stock collapses {p}% as outflows accelerate",
    "$NGB falls to record low as Northgate Bank warns of heavy losses",
    "Northgate Bank credit rating cut to junk amid deposit flight",
    "Northgate Bank bonds crash as investors fear default",
]
SURGE_COMMENTS = [
    "$NGB is collapsing, down another {p}% and no bid in sight",
    "$NGB this is a bank run, sold everything at a loss",
    "$NGB plunging, management lied about the losses",
    "Terrible. $NGB keeps crashing, down {p}% on the day",
    "$NGB downgraded again, this is going to zero",
    "$NGB weak, weak, weak. Heavy selling, shares tumbling",
    "Out of $NGB with a painful loss, worst drop I have seen",
    "$NGB misses, losses mount and the stock sinks {p}%",
    "Short $NGB, deposits falling fast and more bad news coming",
    "$NGB slumps to a new low, bearish all the way down",
    "$NGB shares crater after the failed raise, disaster",
    "$NGB falling hard again, fear is everywhere",
]
STOCK_TALK = {"Stock Movement", "Stock Commentary", "Analyst Update", "Markets"}
"""Quiet around the wire item, so that nobody else speaks ill of its topic while it is repeated."""
WIRE_ITEM = "Calder Mining shares plunge {p}% after output warning and weak guidance"
WIRE_PUBLISHERS = ["Harbour Wire", "Tradewind News"]

Row = dict[str, object]


def compose(seed: int = 7) -> list[Row]:
    """All rows by rising `published_at`, each ready for the `news` or `comments` topic (`kind` says which)."""
    rng = random.Random(seed)  # noqa: S311 - a story, not a secret
    rows = sorted(_all(rng), key=lambda row: str(row["published_at"]))
    for number, row in enumerate(rows, 1):
        row["id"] = f"sample-{number:04d}"
    return rows


def _all(rng: random.Random) -> Iterator[Row]:
    yield from _ordinary(rng)
    yield from _surge(rng)
    yield from _wire(rng)


def _ordinary(rng: random.Random) -> Iterator[Row]:
    """About 110 documents an hour, each topic in turn, so that every topic has a baseline."""
    topics = list(NEWS)
    comment_topics = [topic for topic, lines in COMMENTS.items() for _ in lines]
    for step in range(HOURS * 110):
        at = START + timedelta(seconds=step * 3600 / 110 + rng.uniform(0, 25))
        topic = rng.choice(comment_topics) if step % 3 == 2 else topics[step % len(topics)]
        if topic in STOCK_TALK and abs(at - WIRE_AT) < timedelta(minutes=35):
            continue
        if step % 3 == 2:
            yield _comment(rng, at, rng.choice(COMMENTS[topic]))
        else:
            yield _news(rng, at, rng.choice(NEWS[topic]), rng.choice(PUBLISHERS))


def _surge(rng: random.Random) -> Iterator[Row]:
    """Sixty negative documents in twenty minutes from many publishers: builds up, peaks, dies down."""
    bank = ("Northgate Bank", "NGB")
    for step in range(60):
        at = SURGE_AT + timedelta(seconds=1200 * (step / 60) ** 0.8 + rng.uniform(0, 20))
        if step % 4 == 0:
            yield _news(rng, at, rng.choice(SURGE_NEWS), rng.choice(PUBLISHERS), bank)
        else:
            yield _comment(rng, at, rng.choice(SURGE_COMMENTS), bank)


def _wire(rng: random.Random) -> Iterator[Row]:
    """The same item forty times in fifteen minutes, under new ids, from two publishers: loud, but not an opinion."""
    company = ("Calder Mining", "CLDR")
    text = WIRE_ITEM.format(p=9)
    for step in range(40):
        at = WIRE_AT + timedelta(seconds=step * 22 + rng.uniform(0, 8))
        yield _news(rng, at, text, WIRE_PUBLISHERS[step % 2], company)


def _fill(rng: random.Random, line: str, company: tuple[str, str]) -> str:
    name, ticker = company
    low, high = sorted((rng.randint(20, 90), rng.randint(20, 90)))
    return line.format(c=name, t=ticker, p=rng.randint(2, 9), q=rng.randint(2, 9), m=low, n=high + 5)


def _any_company(rng: random.Random) -> tuple[str, str]:
    return rng.choice([company for company in COMPANIES if company[1] != "NGB" or rng.random() < 0.5])


def _news(rng: random.Random, at: datetime, line: str, publisher: str, company: tuple[str, str] | None = None) -> Row:
    company = company or _any_company(rng)
    text = _fill(rng, line, company)
    row: Row = {
        "kind": "news",
        "published_at": to_rfc3339(at, timespec="seconds"),
        "source": publisher,
        "text": text,
        "lang": "en",
    }
    if company[0] in text or f"${company[1]}" in text:
        row["symbols"] = [company[1]]
    return row


def _comment(rng: random.Random, at: datetime, line: str, company: tuple[str, str] | None = None) -> Row:
    text = _fill(rng, line, company or _any_company(rng))
    return {
        "kind": "comment",
        "published_at": to_rfc3339(at, timespec="seconds"),
        "author": rng.choice(AUTHORS),
        "text": text,
        "lang": "en",
    }


def main() -> None:
    """Write the file beside this module."""
    with SAMPLE.open("w", encoding="utf-8") as file:
        for row in compose():
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
