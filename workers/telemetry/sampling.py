"""Which traces are recorded: the standard variables decide; without them one in a hundred, and as parents were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.context import Context
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


def read_sampler(environ: Mapping[str, str]) -> Sampler:
    """What ``OTEL_TRACES_SAMPLER`` and ``OTEL_TRACES_SAMPLER_ARG`` name. Raises ValueError."""
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    text = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    default = 1.0 if name else DEFAULT_RATIO  # who names a ratio without a number means all, as the standard has it
    try:
        ratio = TraceIdRatioBased(float(text) if text else default)
    except ValueError:
        raise ValueError("OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1") from None
    samplers: dict[str, Sampler] = {"always_on": ALWAYS_ON, "always_off": ALWAYS_OFF, "traceidratio": ratio}
    samplers |= {f"parentbased_{kind}": ParentBased(one) for kind, one in samplers.items()}
    if (name or DEFAULT) not in samplers:
        raise ValueError(f"OTEL_TRACES_SAMPLER must be one of {', '.join(samplers)}")
    return samplers[name or DEFAULT]


class Linked(Sampler):
    """A batch in which an order of a recorded trace is, is recorded too."""

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
        """As the first linked span that is recorded; without one as its own."""
        for link in links or ():
            parent = set_span_in_context(NonRecordingSpan(link.context), Context())
            result = self._inner.should_sample(parent, link.context.trace_id, name, kind, attributes)
            if result.decision is Decision.RECORD_AND_SAMPLE:
                return result
        return self._inner.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """For people."""
        return f"Linked({self._inner.get_description()})"
