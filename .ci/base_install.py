"""Run in a clean environment after `pip install .`: contracts, SDK and every domain's events need pydantic and httpx alone."""

import importlib
import importlib.util
import pkgutil
import sys

import assets
import platform_defs.collection.sdk
import platform_defs.contracts

heavy = [name for name in ("pyspark", "pandera", "dagster", "sqlalchemy") if importlib.util.find_spec(name)]
if heavy:
    sys.exit(f"the base install brings {', '.join(heavy)}")
domains = [module.name for module in pkgutil.iter_modules(assets.__path__) if module.ispkg]
imported = [domain for domain in domains if importlib.util.find_spec(f"assets.{domain}.events") and importlib.import_module(f"assets.{domain}.events")]
if not imported:
    sys.exit("no events.py was found")
sys.stdout.write(f"imported {platform_defs.contracts.__name__}, {platform_defs.collection.sdk.__name__} and the events of {', '.join(imported)}\n")
