from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExperimentRequest(_message.Message):
    __slots__ = ("name", "purpose", "confidence")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    purpose: str
    confidence: str
    def __init__(self, name: _Optional[str] = ..., purpose: _Optional[str] = ..., confidence: _Optional[str] = ...) -> None: ...

class Experiment(_message.Message):
    __slots__ = ("report", "left_out", "loans", "results_known", "performance_days", "bad_from_days")
    REPORT_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    LOANS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_KNOWN_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_DAYS_FIELD_NUMBER: _ClassVar[int]
    BAD_FROM_DAYS_FIELD_NUMBER: _ClassVar[int]
    report: Trial
    left_out: int
    loans: int
    results_known: int
    performance_days: int
    bad_from_days: int
    def __init__(self, report: _Optional[_Union[Trial, _Mapping]] = ..., left_out: _Optional[int] = ..., loans: _Optional[int] = ..., results_known: _Optional[int] = ..., performance_days: _Optional[int] = ..., bad_from_days: _Optional[int] = ...) -> None: ...

class Trial(_message.Message):
    __slots__ = ("experiment", "about", "champion", "confidence", "confidence_each", "planned_persons", "persons", "repeated", "misassigned", "outside", "phases", "sound", "complete")
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_EACH_FIELD_NUMBER: _ClassVar[int]
    PLANNED_PERSONS_FIELD_NUMBER: _ClassVar[int]
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    MISASSIGNED_FIELD_NUMBER: _ClassVar[int]
    OUTSIDE_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    SOUND_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    experiment: str
    about: str
    champion: str
    confidence: str
    confidence_each: str
    planned_persons: int
    persons: int
    repeated: int
    misassigned: int
    outside: int
    phases: _containers.RepeatedCompositeFieldContainer[Phase]
    sound: bool
    complete: bool
    def __init__(self, experiment: _Optional[str] = ..., about: _Optional[str] = ..., champion: _Optional[str] = ..., confidence: _Optional[str] = ..., confidence_each: _Optional[str] = ..., planned_persons: _Optional[int] = ..., persons: _Optional[int] = ..., repeated: _Optional[int] = ..., misassigned: _Optional[int] = ..., outside: _Optional[int] = ..., phases: _Optional[_Iterable[_Union[Phase, _Mapping]]] = ..., sound: _Optional[bool] = ..., complete: _Optional[bool] = ...) -> None: ...

class Phase(_message.Message):
    __slots__ = ("first", "last", "persons", "sample_ratio", "suspect", "arms", "comparisons")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATIO_FIELD_NUMBER: _ClassVar[int]
    SUSPECT_FIELD_NUMBER: _ClassVar[int]
    ARMS_FIELD_NUMBER: _ClassVar[int]
    COMPARISONS_FIELD_NUMBER: _ClassVar[int]
    first: str
    last: str
    persons: int
    sample_ratio: str
    suspect: bool
    arms: _containers.RepeatedCompositeFieldContainer[Arm]
    comparisons: _containers.RepeatedCompositeFieldContainer[Comparison]
    def __init__(self, first: _Optional[str] = ..., last: _Optional[str] = ..., persons: _Optional[int] = ..., sample_ratio: _Optional[str] = ..., suspect: _Optional[bool] = ..., arms: _Optional[_Iterable[_Union[Arm, _Mapping]]] = ..., comparisons: _Optional[_Iterable[_Union[Comparison, _Mapping]]] = ...) -> None: ...

class Arm(_message.Message):
    __slots__ = ("arm", "persons", "expected_persons", "estimates")
    ARM_FIELD_NUMBER: _ClassVar[int]
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_PERSONS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATES_FIELD_NUMBER: _ClassVar[int]
    arm: str
    persons: int
    expected_persons: str
    estimates: _containers.RepeatedCompositeFieldContainer[Estimate]
    def __init__(self, arm: _Optional[str] = ..., persons: _Optional[int] = ..., expected_persons: _Optional[str] = ..., estimates: _Optional[_Iterable[_Union[Estimate, _Mapping]]] = ...) -> None: ...

class Estimate(_message.Message):
    __slots__ = ("metric", "count", "value", "low", "high")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    metric: str
    count: int
    value: str
    low: str
    high: str
    def __init__(self, metric: _Optional[str] = ..., count: _Optional[int] = ..., value: _Optional[str] = ..., low: _Optional[str] = ..., high: _Optional[str] = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ("arm", "metric", "conditional", "difference", "low", "high", "conclusion")
    ARM_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    CONDITIONAL_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    CONCLUSION_FIELD_NUMBER: _ClassVar[int]
    arm: str
    metric: str
    conditional: bool
    difference: str
    low: str
    high: str
    conclusion: str
    def __init__(self, arm: _Optional[str] = ..., metric: _Optional[str] = ..., conditional: _Optional[bool] = ..., difference: _Optional[str] = ..., low: _Optional[str] = ..., high: _Optional[str] = ..., conclusion: _Optional[str] = ...) -> None: ...

class SignalReport(_message.Message):
    __slots__ = ("person", "reference", "signal")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    person: str
    reference: str
    signal: str
    def __init__(self, person: _Optional[str] = ..., reference: _Optional[str] = ..., signal: _Optional[str] = ...) -> None: ...

class SignalActed(_message.Message):
    __slots__ = ("person", "reference", "signal", "change", "before_fen", "after_fen", "reason", "zh", "en", "acted_at")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FEN_FIELD_NUMBER: _ClassVar[int]
    AFTER_FEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ZH_FIELD_NUMBER: _ClassVar[int]
    EN_FIELD_NUMBER: _ClassVar[int]
    ACTED_AT_FIELD_NUMBER: _ClassVar[int]
    person: str
    reference: str
    signal: str
    change: str
    before_fen: int
    after_fen: int
    reason: str
    zh: str
    en: str
    acted_at: str
    def __init__(self, person: _Optional[str] = ..., reference: _Optional[str] = ..., signal: _Optional[str] = ..., change: _Optional[str] = ..., before_fen: _Optional[int] = ..., after_fen: _Optional[int] = ..., reason: _Optional[str] = ..., zh: _Optional[str] = ..., en: _Optional[str] = ..., acted_at: _Optional[str] = ...) -> None: ...
