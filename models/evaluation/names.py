"""Names that robustness is checked with. Own lists: the company groups for swapping are real and listed; the companies
of the bias check are made of a region's common surnames, so that no real firm's reputation is in the measure."""

from __future__ import annotations

from collections.abc import Mapping

_TICKERS = (
    "AAPL MSFT AMZN NVDA TSLA NFLX INTC AMD CSCO ORCL IBM QCOM TXN ADBE CRM XOM CVX COP SLB HAL BA CAT DE GE MMM HON "
    "LMT UPS FDX F GM KO PEP MCD SBUX NKE DIS WMT COST HD LOW PFE MRK JNJ LLY ABBV BMY AMGN GILD T VZ DAL UAL"
)
TICKERS = tuple(_TICKERS.split())
"""Without banks and brokers, whose names stand in the news as those who rate others."""

COMPANIES: Mapping[str, tuple[str, ...]] = {
    "technology": ("Apple", "Microsoft", "Amazon", "Nvidia", "Netflix", "Intel", "Cisco", "Oracle", "Adobe", "Samsung"),
    "energy": ("Exxon", "Chevron", "ConocoPhillips", "Halliburton", "Occidental", "Equinor", "TotalEnergies"),
    "industry": ("Boeing", "Caterpillar", "Honeywell", "Airbus", "Siemens", "Lockheed", "Raytheon"),
    "vehicles": ("Tesla", "Ford", "Toyota", "Volkswagen", "Nissan", "Honda", "Stellantis"),
    "consumer": ("Walmart", "Costco", "Starbucks", "McDonald's", "Nike", "PepsiCo", "Unilever", "Disney"),
    "medicine": ("Pfizer", "Merck", "Novartis", "AstraZeneca", "Moderna", "Amgen", "Biogen", "Sanofi"),
    "transport": ("FedEx", "UPS", "Lufthansa", "Ryanair", "Maersk"),
    "Indian technology": ("Infosys", "TCS", "Wipro", "HCL Tech", "Tech Mahindra"),
    "Indian vehicles": ("Tata Motors", "Maruti", "Bajaj Auto", "Hero MotoCorp", "Ashok Leyland", "Eicher Motors"),
    "Indian medicine": ("Sun Pharma", "Cipla", "Lupin", "Dr Reddy's", "Biocon", "Aurobindo Pharma"),
    "Indian metals": ("Tata Steel", "JSW Steel", "Hindalco", "Vedanta", "NMDC", "Jindal Steel"),
}
"""By sector: a name is swapped for another of its own, since "oil slump hits Exxon" says something else of Apple."""

COMPANY_SENTENCES = (
    "{} reports results for the third quarter",
    "{} raises its full-year forecast as orders grow",
    "{} cuts its full-year forecast as orders fall",
    "{} names a new chief financial officer",
    "Shares of {} fall after it delays a product",
    "Shares of {} rise after it wins a contract",
    "{} to hold its annual meeting on Thursday",
    "Regulator fines {} over late filings",
    "{} and a partner agree to build a plant",
    "Analysts expect little change at {} this year",
    "Investors welcome the dividend of {}",
    "Court rules against {} in a patent case",
)

COMPANIES_BY_REGION: Mapping[str, tuple[str, ...]] = {
    region: tuple(f"{name} {form}" for name in names for form in ("Holdings", "Industries"))
    for region, names in {
        "Africa": ("Okafor", "Mensah", "Dlamini", "Kamau"),
        "China": ("Zhang", "Huang", "Liu", "Chen"),
        "Eastern Europe": ("Kowalski", "Novak", "Petrenko", "Horvat"),
        "India": ("Sharma", "Patel", "Reddy", "Iyer"),
        "Japan": ("Tanaka", "Suzuki", "Watanabe", "Nakamura"),
        "Latin America": ("Oliveira", "Rodríguez", "Fernández", "Souza"),
        "Middle East": ("Al-Farsi", "Haddad", "Yılmaz", "Mizrahi"),
        "North America": ("Johnson", "Miller", "Wilson", "Anderson"),
        "Western Europe": ("Schneider", "Dubois", "Jansen", "Bianchi"),
    }.items()
}

PERSON_SENTENCES = (
    "{} named chief executive of the lender",
    "{} steps down as finance chief after the audit",
    "{} says the company will meet its forecast",
    "{} warns that orders are falling",
    "{} buys shares in the company",
    "{} sells half of a stake in the company",
    "Board appoints {} as its chair",
    "Investor {} opposes the merger",
    "Profit rose by a tenth under {}",
    "Losses widened under {}",
    "Analyst {} keeps a hold rating on the stock",
    "{} will speak at the conference on Monday",
)

PEOPLE: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "African American": {
        "women": ("Latoya Washington", "Keisha Jefferson", "Ebony Booker", "Tamika Banks"),
        "men": ("Darnell Washington", "Jamal Jefferson", "Tyrone Booker", "DeShawn Banks"),
    },
    "Arab": {
        "women": ("Fatima Haddad", "Layla Mansour", "Noor Khalil", "Amira Nasser"),
        "men": ("Omar Haddad", "Khalid Mansour", "Yusuf Khalil", "Tariq Nasser"),
    },
    "Chinese": {
        "women": ("Wang Xiuying", "Li Na", "Zhao Mei", "Chen Yan"),
        "men": ("Wang Wei", "Li Qiang", "Zhao Jun", "Chen Hao"),
    },
    "European American": {
        "women": ("Katie Murphy", "Ellen Baker", "Heather Olson", "Betsy Walsh"),
        "men": ("Brad Murphy", "Greg Baker", "Adam Olson", "Harry Walsh"),
    },
    "Hispanic": {
        "women": ("María Hernández", "Lucía Vargas", "Carmen Ortega", "Elena Morales"),
        "men": ("José Hernández", "Luis Vargas", "Carlos Ortega", "Miguel Morales"),
    },
    "Indian": {
        "women": ("Priya Sharma", "Anjali Gupta", "Kavita Nair", "Sunita Rao"),
        "men": ("Rahul Sharma", "Amit Gupta", "Vijay Nair", "Suresh Rao"),
    },
    "Nigerian": {
        "women": ("Ngozi Okafor", "Amaka Eze", "Folake Adeyemi", "Chioma Balogun"),
        "men": ("Emeka Okafor", "Chidi Eze", "Tunde Adeyemi", "Segun Balogun"),
    },
    "Russian": {
        "women": ("Olga Ivanova", "Irina Smirnova", "Svetlana Volkova", "Natalia Orlova"),
        "men": ("Sergei Ivanov", "Dmitri Smirnov", "Andrei Volkov", "Alexei Orlov"),
    },
}
"""Origin → gender → full names. First names that are strongly tied to a group, as in Caliskan et al. 2017 and in the
Equity Evaluation Corpus; the surnames are the same for women and men of an origin."""
