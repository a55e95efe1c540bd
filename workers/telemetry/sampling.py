"""Which traces are recorded: the standard variables decide. Without them: as the parent was, or one in a hundred."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from opentelemetry.context import Context, create_key, set_value
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, TraceState, set_span_in_context
from opentelemetry.util.types import Attributes

DEFAULT, DEFAULT_RATIO = "parentbased_traceidratio", 0.01


#: The context of a trace that ``Share`` has chosen.
_CHOSEN = create_key("invoices-chosen")
CHOSEN = set_value(_CHOSEN, True, Context())


class Share:
    """Decides which new traces are recorded, before the library is asked: its answer costs as much as storing an
    order."""

    def __init__(self, share: float) -> None:
        self._share = share

    def takes(self) -> bool:
        """Whether to record the next one."""
        return random.random() < self._share  # noqa: S311 - a sample


def read_sampler(environ: Mapping[str, str]) -> tuple[Sampler, Share]:
    """The samplers that ``OTEL_TRACES_SAMPLER`` and ``OTEL_TRACES_SAMPLER_ARG`` name: for steps with a parent, and for
    new traces. Raises ValueError."""
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    text = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    default = 1.0 if name else DEFAULT_RATIO  # a ratio without a number means all, says the standard
    try:
        ratio = TraceIdRatioBased(float(text) if text else default)
    except ValueError:
        raise ValueError("OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1") from None
    shares = {"always_on": 1.0, "always_off": 0.0}
    samplers: dict[str, Sampler] = {"always_on": ALWAYS_ON, "always_off": ALWAYS_OFF, "traceidratio": ratio}
    samplers |= {f"parentbased_{kind}": ParentBased(one) for kind, one in samplers.items()}
    if (name or DEFAULT) not in samplers:
        raise ValueError(f"OTEL_TRACES_SAMPLER must be one of {', '.join(samplers)}")
    share = shares.get(name.removeprefix("parentbased_"), ratio.rate)
    return samplers[name or DEFAULT], Share(share)


class Linked(Sampler):
    """Records a batch too if a trace of one of its orders is recorded."""

    def __init__(self, inner: Sampler) -> None:
        self._inner = inner

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Recorded if ``Share`` chose it or a linked span is recorded; otherwise the inner sampler decides."""
        if parent_context is not None and _CHOSEN in parent_context:
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, trace_state)
        for link in links or ():
            parent = set_span_in_context(NonRecordingSpan(link.context), Context())
            result = self._inner.should_sample(parent, link.context.trace_id, name, kind, attributes)
            if result.decision is Decision.RECORD_AND_SAMPLE:
                return result
        return self._inner.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """For people."""
        return f"Linked({self._inner.get_description()})"
