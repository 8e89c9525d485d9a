"""One asset per event type, source and endpoint, and the body they share: build the run's partitions, pass on what became of them.

What Dagster is told is decided in `reporting`; how a partition is built is `execution`'s.
"""

# No `from __future__ import annotations` here: Dagster reads the body's annotation of `context` and does not understand it as text.

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_defs.build.dagster_private import AssetCheckEvaluationTargetMaterializationData, earlier_verdicts, steps_of
from platform_defs.build.describe import CHECK_WORDS, checks_of, group_of, kinds_of, metadata_of, tags_of
from platform_defs.build.on_time import on_time
from platform_defs.build.partitions import Partitions, backfill_policy, mapping_of, offset_mapping
from platform_defs.build.platform import OVERLAP, PLATFORM
from platform_defs.build.reporting import Evaluation, Report, Trouble, report, unjudged
from platform_defs.build.tags import Asked, read_tags
from platform_defs.contracts.contract import Contract
from platform_defs.execution.platform import Platform, Work
from platform_defs.execution.results import PartitionResult
from platform_defs.planning.deadlines import ON_TIME
from sensors.run_tags import spared_read

if TYPE_CHECKING:
    from platform_defs.contracts.loading import Declared

Builder = Callable[[Work, Platform], Sequence[PartitionResult]]
Body = Callable[[dg.AssetExecutionContext, Mapping[str, Any]], Iterator[Any]]
# Of an asset's step nothing travels through Dagster: it begins after what it reads, and ends with its table and the verdicts on it.
_READ, _TABLE, _SKIPPABLE, _VERDICT = dg.In(dg.Nothing), dg.Out(dg.Nothing), dg.Out(dg.Nothing, is_required=False), dg.Out(None)
_SEVERITY = {"warn": dg.AssetCheckSeverity.WARN, "error": dg.AssetCheckSeverity.ERROR}
_CODE_VERSION_TAG = "dagster/code_version"


def asset_key(key: str) -> dg.AssetKey:
    """`listening/track_played` as Dagster's key."""
    return dg.AssetKey(key.split("/"))


def op_name(key: str) -> str:
    """The step's name in a run: `listening__track_played`."""
    return key.replace("/", "__")


def asset_of(
    declared: "Declared", partitions: Partitions, builder: Builder | None = None, beside: Mapping[str, "Declared"] | None = None
) -> dg.AssetsDefinition:
    """The asset of one declaration.

    Args:
        partitions: the domain's partitions of its cadence.
        builder: builds partitions; None: `execution.building.build`, imported when a run needs it. Called in several threads.
        beside: all declarations of its domain by `op_name`: those in the same run are built side by side.
    """
    contract = declared.contract
    key, checks = asset_key(contract.key), checks_of(contract)
    spec = dg.AssetSpec(
        key,
        deps=_deps(contract),
        description=contract.description,
        metadata=metadata_of(contract),
        group_name=group_of(contract),
        code_version=contract.code_version,
        owners=[contract.owner],
        tags=tags_of(contract),
        kinds=kinds_of(contract),
        partitions_def=partitions,
        skippable=contract.kind == "source",  # a vendor that is not ready yet: the run ends well, with nothing to show
    )
    with warnings.catch_warnings():
        # A check with partitions is in preview: without them the page would show the last partition's verdict for all.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        specs = [dg.AssetCheckSpec(name, asset=key, description=CHECK_WORDS[name], partitions_def=partitions) for name in checks]
        return _with_step(spec, specs, _body(declared, checks, builder, beside or {}), backfill_policy(contract.cadence))


def _with_step(spec: dg.AssetSpec, checks: Sequence[dg.AssetCheckSpec], body: Body, policy: dg.BackfillPolicy) -> dg.AssetsDefinition:
    """What `dg.multi_asset` makes of a body, from its parts: the decorator asks the body's signature two dozen times for an asset, and says the asset's
    metadata again in its step. At 2,000 assets the decorator takes half of the time a location loads."""
    reads = {dep.asset_key.to_python_identifier(): dep.asset_key for dep in spec.deps}
    own, verdicts = spec.key.to_python_identifier(), {check.get_python_identifier(): check for check in checks}
    step = dg.OpDefinition(
        body,
        name=own,
        ins=dict.fromkeys(reads, _READ),
        outs={own: _SKIPPABLE if spec.skippable else _TABLE, **dict.fromkeys(verdicts, _VERDICT)},
        config_schema={},
        required_resource_keys={PLATFORM, OVERLAP},
    )
    return dg.AssetsDefinition(
        keys_by_input_name=reads,
        keys_by_output_name={own: spec.key},
        node_def=step,
        specs=[spec],
        check_specs_by_output_name=verdicts,
        backfill_policy=policy,
    )


def _body(declared: "Declared", checks: Sequence[str], builder: Builder | None, beside: Mapping[str, "Declared"]) -> Body:
    contract = declared.contract

    def body(context: dg.AssetExecutionContext, inputs: Mapping[str, Any]) -> Iterator[Any]:
        platform: Platform = context.resources.platform
        work = _work(declared, context, platform)
        results = context.resources.overlap.results(work, lambda: _together(context, work, beside), _builder(builder))
        judged_by_build = [name for name in checks if name != ON_TIME]
        earlier = _earlier(context.instance, contract, judged_by_build, unjudged(results))
        told = report(contract, checks, results, earlier, on_time(platform.ledger, contract, results, platform.clock()))
        context.log.info(told.line)
        yield from _events(context, contract, told)

    return body


def _together(context: dg.AssetExecutionContext, work: Work, beside: Mapping[str, "Declared"]) -> list[Work]:
    """What the run is to build: partitions are the run's, so they are the same for all."""
    cadence = work.declared.contract.cadence
    found = [beside[step] for step in steps_of(context) if step in beside]
    spared = spared_read(context.run.tags)
    return [
        replace(work, declared=declared, spared=spared.get(declared.contract.key, frozenset())) for declared in found if declared.contract.cadence == cadence
    ]


def _deps(contract: Contract) -> list[dg.AssetDep]:
    # An endpoint may be read twice, over two windows: Dagster takes one mapping per asset, so it is drawn over both.
    drawn: dict[str, dg.TimeWindowPartitionMapping] = {}
    for read in contract.inputs:
        one = mapping_of(contract.cadence, read)
        other = drawn.get(read.endpoint)
        drawn[read.endpoint] = one if other is None else _both(one, other)
    return [dg.AssetDep(asset_key(endpoint), partition_mapping=mapping) for endpoint, mapping in drawn.items()]


def _both(one: dg.TimeWindowPartitionMapping, other: dg.TimeWindowPartitionMapping) -> dg.TimeWindowPartitionMapping:
    return offset_mapping(min(one.start_offset, other.start_offset), max(one.end_offset, other.end_offset))


def _builder(given: Builder | None) -> Builder:
    if given is not None:
        return given
    from platform_defs.execution.building import build

    return build


def _work(declared: "Declared", context: dg.AssetExecutionContext, platform: Platform) -> Work:
    record = context.instance.get_run_record_by_id(context.run_id)
    asked: Asked = read_tags(context.run.tags)
    created = platform.clock() if record is None else record.create_timestamp
    return Work(
        declared=declared,
        keys=tuple(context.partition_keys),
        run_id=context.run_id,
        trigger=asked.trigger,
        contracts=platform.ledger.registry.current(),
        requested_at=created if created.tzinfo else created.replace(tzinfo=UTC),
        force=asked.force,
        request_id=asked.request_id,
        spared=spared_read(context.run.tags).get(declared.contract.key, frozenset()),
    )


def _events(context: dg.AssetExecutionContext, contract: Contract, told: Report) -> Iterator[Any]:
    key = asset_key(contract.key)
    if told.complete:
        for partition, metadata in told.materialised.items():
            context.add_asset_metadata(dict(metadata), asset_key=key, partition_key=partition)
        yield dg.MaterializeResult(asset_key=key)
    else:
        for partition, metadata in told.materialised.items():
            yield dg.AssetMaterialization(key, partition=partition, metadata=dict(metadata), tags={_CODE_VERSION_TAG: contract.code_version})
    # Verdicts come after the materialisations they belong to: a check that names none counts as out of date.
    targets = _targets(context.instance, key, told)
    for verdict in told.of_partitions:
        yield _evaluation(key, verdict, targets.get(verdict.partition or ""))
    for summary in told.summaries:
        yield dg.AssetCheckResult(
            passed=summary.passed,
            asset_key=key,
            check_name=summary.check,
            severity=_SEVERITY[summary.severity],
            description=summary.description,
            metadata=dict(summary.metadata),
        )
    if told.trouble is not None:
        raise _failure(told.trouble)


def _earlier(instance: dg.DagsterInstance, contract: Contract, checks: Sequence[str], partitions: Collection[str]) -> list[Evaluation]:
    """What earlier runs found of partitions that this one did not judge."""
    if not partitions:
        return []
    return [
        Evaluation(
            check=found.check_name,
            partition=found.partition,
            passed=found.passed,
            severity="warn" if found.severity is dg.AssetCheckSeverity.WARN else "error",
            description=found.description or "",
            metadata={name: value.value for name, value in found.metadata.items() if isinstance(value.value, str | int | float | bool)},
        )
        for found in earlier_verdicts(instance, asset_key(contract.key), checks, partitions)
    ]


def _targets(instance: dg.DagsterInstance, key: dg.AssetKey, told: Report) -> dict[str, AssetCheckEvaluationTargetMaterializationData]:
    """The materialisation each judged partition has now: this run's, or for a refused one that of the good version that stays."""
    judged = {verdict.partition for verdict in told.of_partitions if verdict.partition is not None}
    fresh = sorted(judged & set(told.materialised))
    asked = [(fresh, len(fresh)), *(([partition], 1) for partition in sorted(judged - set(told.materialised)))]
    targets: dict[str, AssetCheckEvaluationTargetMaterializationData] = {}
    for partitions, limit in asked:
        if not partitions:
            continue
        found = instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=key, asset_partitions=partitions), limit=limit)
        for record in found.records:
            if record.partition_key is not None:
                target = AssetCheckEvaluationTargetMaterializationData(storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp)
                targets.setdefault(record.partition_key, target)
    return targets


def _evaluation(key: dg.AssetKey, verdict: Evaluation, target: AssetCheckEvaluationTargetMaterializationData | None) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=verdict.check,
        passed=verdict.passed,
        severity=_SEVERITY[verdict.severity],
        description=verdict.description,
        metadata=dict(verdict.metadata),
        target_materialization_data=target,
        partition=verdict.partition,
    )


def _failure(trouble: Trouble) -> dg.Failure:
    metadata: dict[str, Any] = {"partitions": dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in trouble.table])}
    metadata.update({partition: dg.MetadataValue.md(f"```\n{detail}\n```") for partition, detail in trouble.details.items()})
    return dg.Failure(trouble.description, metadata=metadata, allow_retries=False)
