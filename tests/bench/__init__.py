"""Benchmarks: `./backline bench NAME`. Nothing here is asserted; a figure says what was measured, beside which rival, and whether its target was met.

A benchmark is a module with one command and a line in `platform_defs/cli/bench.py`:

    @benchmark(rounds=3)
    @click.option("--events", default=5_000_000, show_default=True, help="Events of a day.")
    def intake(rounds: int, events: int) -> Measured:
        '''What it measures, one line.

        \b
        ./backline bench intake
        '''
        ours, rival = [], []
        for _ in range(rounds):                                # in turn: what slows the machine down slows both down
            with peak_memory(server.pid) as memory:
                ours.append(seconds(build))
            rival.append(run(duckdb_script))                   # a process of its own: `memory.run`
        return Measured(
            [figure("24 hours taken in", "s", ours, rival, 3.0, more_is_better=False, against="DuckDB", memory=..., rival_memory=..., cause="...")],
            profile="where the time goes, as this run measured it",
        )

`benchmark` adds `--rounds`, `--json FILE` and `--keep`. Kept figures are docs/benchmarks/NAME.json, one file a benchmark, with versions, machine, date and
command; docs/benchmarks.md is written from these files alone (`./backline bench report`). `cause` is shown only while its target is missed.

- Whole processes, warm where the product is warm, ours and the rival's taken in turn in one run. The rival is as its documentation teaches.
- A server, a Postgres and folders of its own, below a temporary folder; nothing of a running Backline is touched.
- What sets up and what measures are apart: only the second is timed. Medians are compared, least and most are shown.
- `figures`: one figure. `frame`: the decorator and what is kept. `machine`: versions, cores. `memory`: peaks. `report`: the page. `everything`: `bench all`.
"""
