"""Which JSON reader turns pages into typed Arrow columns soonest. Needs ``pip install polars pysimdjson orjson ijson``.

2026-11-21, 2 shared vCPUs (AMD EPYC), Python 3.11.7, msgspec 0.22.0, pyarrow 26.0.1, orjson 3.13.0, polars 2.1.0,
pysimdjson 7.0.2, duckdb 2.0.0, ijson 3.6.0; 20 pages of 1,000 rows, 2.5 MB each, medians of 5. Other work kept the machine
at a load of 7 to 10: the CPU column holds, rows/s and the gain of a second thread only roughly (peaks: 10 pages, DuckDB 20).

                                         rows/s  CPU s/100k  peak MB  2 threads: rows/s  CPU s/100k
msgspec, structs (row path)              18,828        3.31      101             19,568        3.40
msgspec, typed dicts                     13,341        3.84      101             13,755        3.72
msgspec, dicts                           13,122        3.82      102             11,860        4.11
orjson, dicts                            11,699        4.21      112             10,985        4.73
pysimdjson, dicts                         7,624        5.75      116              5,176        7.20
json, dicts                              10,812        5.24      104             11,242        7.29
ijson, dicts                             11,198        6.74      107              6,984        7.49
pyarrow.json, 9 places, 33 if need be    17,594        2.67      108             22,145        2.13
pyarrow.json, always 33 places           17,095        1.96      106             17,105        2.13
polars.read_json                          8,125        3.58      181              9,076        3.39
duckdb, from_json                           816       44.27      572              1,209       27.94
duckdb, read_json                         2,340       15.26      202              1,950       16.80

Chosen: pyarrow.json, always with 33 places. It costs the least CPU, needs no new dependency and releases the GIL: in a quieter
moment its reading alone took 14 ms a page with one thread and 7.5 with two. Its reader must be guarded (``pages`` says how).
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypedDict

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from exact_source.catalogue import Field, endpoint
from exact_source.columns import DECIMAL, UTC_MICROSECONDS, converter
from exact_source.odata import AMSTERDAM
from exact_source.tables import Layout, schema

LEDGER = endpoint("sync/Financial/TransactionLines")
LAYOUT = Layout(LEDGER, ("ID",))
MEMBERS = [field for field in LEDGER.fields if field.name != "Division"]
DIVISION = 124132
PAGE, PAGES, TIMES = 1_000, 10, 5
PACKAGES = ("msgspec", "pyarrow", "orjson", "polars", "pysimdjson", "duckdb", "ijson")
NOISE = (0.1 + 0.2, 1.1 * 3, 1234.1 * 3, 0.1 * 3 - 0.3, 1e-05)
TEXTS = ("Omschrijving regel {0} café", 'Factuur "{0}"', "", "Regel 1\r\nregel {0}", "Huur kantoor week {0}")
PADDED = {"AccountCode": "{0:>18}", "VATCode": "{0:<3.3}", "Currency": "EUR"}
WHOLE = {"Edm.Int16", "Edm.Int32", "Edm.Byte"}
Decode = Callable[[bytes], pa.Table]
PLAIN = msgspec.json.Decoder(float_hook=Decimal)

# -- pages --------------------------------------------------------------------------------------------------------


def page(at: int) -> bytes:
    """One page as the service writes it; every fourth has some doubles that were computed, not typed in."""
    chance = random.Random(at)
    rows = [row(chance, number, at % 4 == 0 and number % 300 == 7) for number in range(at * PAGE, (at + 1) * PAGE)]
    link = f"https://start.exactonline.nl/api/v1/{DIVISION}/{LEDGER.resource}?$skiptoken={at + 1}"
    whole = {"d": {"results": rows, "__next": link}}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def row(chance: random.Random, number: int, is_noisy: bool) -> dict[str, object]:
    guid = uuid.UUID(int=chance.getrandbits(128))
    uri = f"https://start.exactonline.nl/api/v1/{DIVISION}/sync/Financial/TransactionLines({number}L,guid'{guid}')"
    values: dict[str, object] = {"__metadata": {"uri": uri, "type": "Exact.Web.Api.Models.Financial.TransactionLine"}}
    for field in LEDGER.fields:
        is_null = field.name not in ("Timestamp", "ID", "Division") and chance.random() < 0.25
        values[field.name] = None if is_null else value(field, chance, number)
    if is_noisy:
        values["AmountFC"], values["Quantity"] = chance.choice(NOISE), chance.choice(NOISE)
    return values


def value(field: Field, chance: random.Random, number: int) -> object:
    if field.edm == "Edm.Guid":
        return str(uuid.UUID(int=chance.getrandbits(128)))
    if field.edm == "Edm.Double":
        amount = round(chance.uniform(-9_999, 9_999), 2)
        return round(amount) if chance.random() < 0.2 else amount
    if field.edm == "Edm.DateTime":
        return f"/Date({1_600_000_000_000 + number * 6_101_333 if field.instant else 86_400_000 * (number % 20_000)})/"
    if field.edm == "Edm.Int64":
        return str(493_115_000 + number)
    if field.edm == "Edm.String":
        return PADDED.get(field.name, chance.choice(TEXTS)).format(str(number % 10_000))
    return DIVISION if field.name == "Division" else number % 1_000


# -- columns from lists of Python values (the row path's own converters) -------------------------------------------


def of_lists(values: Callable[[str], list[Any]], rows: int) -> pa.Table:
    arrays = [pa.array([DIVISION] * rows, pa.int64())]
    arrays += [converter(field, "exact")(values(field.name)) for field in MEMBERS]
    return pa.Table.from_arrays([*arrays, pa.nulls(rows, UTC_MICROSECONDS)], schema=schema(LAYOUT))


def of_dicts(rows: list[dict[str, Any]]) -> pa.Table:
    """Of rows as a reader without types gives them: a double may be a float, whose shortest text is what was sent."""
    edm = {field.name: field.edm for field in MEMBERS}

    def values(name: str) -> list[Any]:
        found = [row[name] for row in rows]
        if edm[name] == "Edm.Int64":
            return [None if one is None else int(one) for one in found]
        if edm[name] == "Edm.Double":
            return [Decimal(repr(one)) if isinstance(one, float) else one and Decimal(one) for one in found]
        return found

    return of_lists(values, len(rows))


def msgspec_rows(is_struct: bool) -> Decode:
    """Typed rows. As structs this is what the row path does, and what the others are held against."""
    wire = dict.fromkeys(WHOLE | {"Edm.Int64"}, int | None) | {"Edm.Double": Decimal | None}
    members = {field.name: wire.get(field.edm, str | None) for field in MEMBERS}
    as_struct = partial(msgspec.defstruct, "Row", [(name, kind, None) for name, kind in members.items()], gc=False)
    one = as_struct() if is_struct else TypedDict("Row", members)  # type: ignore[operator]
    results = msgspec.defstruct("Results", [("results", list[one])], gc=False)  # type: ignore[valid-type]
    read = msgspec.json.Decoder(msgspec.defstruct("Whole", [("d", results)]), strict=False)
    member = getattr if is_struct else dict.__getitem__

    def decode(body: bytes) -> pa.Table:
        rows = read.decode(body).d.results
        return of_lists(lambda name: [member(row, name) for row in rows], len(rows))

    return decode


def dicts(package: str, read: Callable[[Any, bytes], list[dict[str, Any]]]) -> Decode:
    module = importlib.import_module(package)
    return lambda body: of_dicts(read(module, body))


# -- columns from Arrow columns -------------------------------------------------------------------------------------

NARROW, WIDE = pa.decimal128(38, 9), pa.decimal256(76, 33)
MOST = {NARROW: Decimal(10**20), WIDE: Decimal(10**10)}  # a number that Arrow's reader let overflow is larger
HOUR = pa.scalar(3_600_000, pa.int64())


def of_arrow(wires: dict[str, pa.Array], rows: int) -> pa.Table:
    arrays = [pa.array([DIVISION] * rows, pa.int64())]
    arrays += [typed(field, wires[field.name]) for field in MEMBERS]
    return pa.Table.from_arrays([*arrays, pa.nulls(rows, UTC_MICROSECONDS)], schema=schema(LAYOUT))


def typed(field: Field, wire: pa.Array) -> pa.Array:
    if field.edm == "Edm.DateTime":
        return moments(field, wire)
    if field.edm == "Edm.Double":
        return decimals(wire)
    if field.edm in ("Edm.Int64", *WHOLE):
        return wire.cast(pa.int64())
    is_padded = field.edm == "Edm.String" and converter(field, "exact").__name__ == "_trimmed"
    return pc.ascii_trim(wire, " ") if is_padded else wire


def moments(field: Field, wire: pa.Array) -> pa.Array:
    if not all(
        pc.all(kernel, min_count=0).as_py() for kernel in (pc.starts_with(wire, "/Date("), pc.ends_with(wire, ")/"))
    ):
        raise ValueError("not in the usual form of a date")
    ticks = pc.utf8_slice_codeunits(wire, 6, -2).cast(pa.int64())
    if not field.instant:
        return ticks.view(pa.timestamp("ms")).cast(pa.date32())
    hours = pc.divide(ticks, HOUR).dictionary_encode()
    offsets = pa.array([one if one is None else offset(one) for one in hours.dictionary.to_pylist()], pa.int64())
    stamps = pc.subtract(ticks, offsets.take(hours.indices))
    return stamps.view(pa.timestamp("ms")).cast(pa.timestamp("us")).view(UTC_MICROSECONDS)


@cache
def offset(hour: int) -> int:
    naive = datetime.fromtimestamp(hour * 3600, UTC).replace(tzinfo=AMSTERDAM)
    return round(naive.utcoffset().total_seconds() * 1000)  # type: ignore[union-attr]


def decimals(wire: pa.Array) -> pa.Array:
    """Nine places, half to even. Raises ValueError for what Arrow's reader may have let overflow."""
    if wire.type in MOST:
        span = pc.min_max(wire).as_py()
        if span["min"] is not None and max(-span["min"], span["max"]) >= MOST[wire.type]:
            raise ValueError("possibly more digits than there is room for")
    if wire.type == NARROW:
        return wire
    try:
        return wire.cast(DECIMAL)
    except pa.ArrowInvalid:
        return pc.round(wire, 9, "half_to_even").cast(DECIMAL)


def arrow_types(double: pa.DataType) -> pa.StructType:
    kinds = dict.fromkeys(WHOLE, pa.int64()) | {"Edm.Double": double}
    return pa.struct([(field.name, kinds.get(field.edm, pa.string())) for field in MEMBERS])


def arrow_reader(*widths: pa.DataType) -> Decode:
    """Arrow's reader: the page is one row of a struct of a list of structs. Tries the widths one after another."""
    options = [
        pj.ParseOptions(
            explicit_schema=pa.schema(
                [("d", pa.struct([("results", pa.list_(arrow_types(one))), ("__next", pa.string())]))]
            ),
            unexpected_field_behavior="ignore",
        )
        for one in widths
    ]

    def read(body: bytes) -> pa.Table:
        sized = pj.ReadOptions(use_threads=False, block_size=len(body) + 1)
        for at, option in enumerate(options):
            try:
                return pj.read_json(pa.BufferReader(body), sized, option)
            except pa.ArrowInvalid:
                if at == len(options) - 1:
                    raise
        raise AssertionError

    def decode(body: bytes) -> pa.Table:
        rows = read(body).column("d").chunk(0).field("results").flatten()
        rows.validate(full=True)
        return of_arrow(dict(zip(rows.type.names, rows.flatten(), strict=True)), len(rows))

    return decode


def polars_reader() -> Decode:
    """Doubles as text; polars' own Decimal goes through a float."""
    pl = importlib.import_module("polars")
    kinds = dict.fromkeys(WHOLE, pl.Int64) | {"Edm.Double": pl.String}
    row = pl.Struct({field.name: kinds.get(field.edm, pl.String) for field in MEMBERS})
    shape = {"d": pl.Struct({"results": pl.List(row)})}
    wanted = arrow_types(pa.string())

    def decode(body: bytes) -> pa.Table:
        frame = pl.read_json(io.BytesIO(body), schema=shape)
        found = frame.select(pl.col("d").struct.field("results").explode()).unnest("results").to_arrow()
        wires = {one.name: found[one.name].combine_chunks().cast(one.type) for one in wanted}
        return of_arrow(wires | texts_as_decimals(wires), found.num_rows)

    return decode


def texts_as_decimals(wires: dict[str, pa.Array]) -> dict[str, pa.Array]:
    return {one.name: wires[one.name].cast(WIDE) for one in MEMBERS if one.edm == "Edm.Double"}


def duckdb_reader(source: str) -> Decode:
    """DuckDB by a file (``read_json``) or by a text (``from_json``); doubles as text, for its numbers are doubles."""
    connection = importlib.import_module("duckdb").connect(config={"threads": 1})
    kinds = dict.fromkeys(WHOLE, "BIGINT")
    members = {field.name: kinds.get(field.edm, "VARCHAR") for field in MEMBERS}
    row = ", ".join(f'"{name}" {kind}' for name, kind in members.items())
    by_text = (
        f"SELECT unnest(from_json(?::JSON, '{json.dumps({'d': {'results': [members]}})}').d.results, recursive := true)"
    )
    by_file = (
        "SELECT unnest(d.results, recursive := true) FROM read_json(?, format='unstructured', maximum_object_size=100000000, "
        f"columns={{d: 'STRUCT(results STRUCT({row})[])'}})"
    )

    def decode(body: bytes) -> pa.Table:
        with tempfile.NamedTemporaryFile(dir="/dev/shm" if Path("/dev/shm").is_dir() else None, suffix=".json") as file:
            if source == "file":
                file.write(body)
                file.flush()
            given = file.name if source == "file" else body.decode()
            found = connection.cursor().execute(by_file if source == "file" else by_text, [given]).to_arrow_table()
        wires = {one.name: found[one.name].combine_chunks().cast(one.type) for one in arrow_types(pa.string())}
        return of_arrow(wires | texts_as_decimals(wires), found.num_rows)

    return decode


DECODERS: dict[str, Callable[[], Decode]] = {
    "msgspec, structs (row path)": partial(msgspec_rows, True),
    "msgspec, typed dicts": partial(msgspec_rows, False),
    "msgspec, dicts": lambda: dicts("msgspec", lambda it, body: PLAIN.decode(body)["d"]["results"]),
    "orjson, dicts": lambda: dicts("orjson", lambda it, body: it.loads(body)["d"]["results"]),
    "pysimdjson, dicts": lambda: dicts("simdjson", lambda it, body: it.Parser().parse(body)["d"]["results"].as_list()),
    "json, dicts": lambda: dicts("json", lambda it, body: it.loads(body, parse_float=Decimal)["d"]["results"]),
    "ijson, dicts": lambda: dicts("ijson", lambda it, body: list(it.items(io.BytesIO(body), "d.results.item"))),
    "pyarrow.json, 9 places, 33 if need be": partial(arrow_reader, NARROW, WIDE),
    "pyarrow.json, always 33 places": partial(arrow_reader, WIDE),
    "polars.read_json": polars_reader,
    "duckdb, from_json": partial(duckdb_reader, "text"),
    "duckdb, read_json": partial(duckdb_reader, "file"),
}

# -- measuring ------------------------------------------------------------------------------------------------------


def measured(bodies: list[bytes], decode: Decode, threads: int) -> tuple[float, float]:
    """Rows a second and CPU seconds for 100,000 rows, medians."""
    figures = []
    for _ in range(TIMES):
        wall, cpu = time.perf_counter(), time.process_time()
        if threads == 1:
            found = sum(decode(body).num_rows for body in bodies)
        else:
            with ThreadPoolExecutor(threads) as pool:
                found = sum(pool.map(lambda body: decode(body).num_rows, bodies))
        figures.append((found / (time.perf_counter() - wall), (time.process_time() - cpu) * 100_000 / found))
    rates, costs = zip(*figures, strict=True)
    return statistics.median(rates), statistics.median(costs)


def child(name: str, folder: Path) -> None:
    """Measures one decoder in this process and prints the figures, or why there are none."""
    bodies = [file.read_bytes() for file in sorted(folder.iterdir())]
    try:
        decode = DECODERS[name]()
    except ModuleNotFoundError as missing:
        print(json.dumps({"skipped": f"skipped: pip install {missing.name}"}))
        return
    decode(bodies[0])
    alone = measured(bodies, decode, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pair = measured(bodies, decode, 2)
    reference = msgspec_rows(True)
    is_equal = all(decode(body).equals(reference(body)) for body in bodies)
    assert is_equal, f"{name} reads something else than the row path"
    print(json.dumps({"alone": alone, "peak": peak, "pair": pair}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="only decoders with this in their name")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], Path(given.child[1]))
        return
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()},",
        versions(),
    )
    with tempfile.TemporaryDirectory() as folder:
        sizes = [Path(folder, f"{at:03}").write_bytes(page(at)) for at in range(PAGES)]
        print(f"{PAGES} pages of {PAGE} rows, {sum(sizes) / PAGES / 1e6:.1f} MB each; medians of {TIMES}")
        print(f"{'':38}{'rows/s':>9}{'CPU s/100k':>12}{'peak MB':>9}{'2 threads: rows/s':>19}{'CPU s/100k':>12}")
        for name in DECODERS:
            if given.only in name:
                print(f"{name:38}{line(name, Path(folder))}", flush=True)


def versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} missing")
    return ", ".join(found)


def line(name: str, folder: Path) -> str:
    ended = subprocess.run([sys.executable, __file__, "--child", name, str(folder)], capture_output=True, text=True)
    if ended.returncode:
        return f"  failed: {(ended.stderr.strip().splitlines() or [f'signal {-ended.returncode}'])[-1][:100]}"
    figures = json.loads(ended.stdout.splitlines()[-1])
    if "skipped" in figures:
        return f"  {figures['skipped']}"
    (rate, cost), (rate2, cost2) = figures["alone"], figures["pair"]
    return f"{rate:>9,.0f}{cost:>12.2f}{figures['peak']:>9,.0f}{rate2:>19,.0f}{cost2:>12.2f}"


if __name__ == "__main__":
    main()
