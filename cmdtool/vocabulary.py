"""The words beside a number that tell what it is: progress, a thing that is counted, or neither."""

from typing import Final

NOT_PROGRESS: Final = frozenset(
    "acc accuracy aligned attempt average avg battery buffer busy cache charge compression confidence"
    " coverage covered cpu cpus defect deflate deflated disk dropout duplicates duplication elapsed error"
    " errors fail failed faster fragmentation free full gpu hit hits humidity identical identity idle iowait"
    " keys load loss lost mapped mem memory miss misses overhead packet passed passing peak precision"
    " probability quality ram rate ratio recall reduction retries retry reused saved saving savings score"
    " similar similarity skipped slower speedup stored swap sys system test_loss tests throttled try usage use"
    " used user util utilization variance volume wait".split()
)
"""Beside a percentage or a pair: it is a ratio, a load or a score."""

PROGRESS: Final = frozenset(
    "building complete completed completion converting copied copying done downloaded downloading encoding"
    " eta extracting finished installing left loading processed processing progress remaining uploaded"
    " uploading".split()
)
"""Beside a percentage: it is progress."""

NOT_COUNT: Final = frozenset(
    "age at attempt average avg bitrate build cols cores cpu date delay depth duration elapsed error errors"
    " eta exit fps id in inode input interval jobs level limit line load loss lr max mean mem memory min mode"
    " n_jobs node offset pid port ppid priority proc process rank rate ratio retry revision rss run runtime"
    " score seed size speed status stddev thread threads time timeout timestamp took total try ts ttl uid"
    " uptime used version wait warning warnings worker workers".split()
)
"""Before a number: it is no count of what is done."""

DONE: Final = frozenset(
    "analyzed checked completed consumed copied crawled done downloaded exported fetched finished handled"
    " imported indexed inserted loaded migrated parsed processed read received rendered scanned sent synced"
    " transferred updated uploaded visited written wrote".split()
)
"""Before a number: so much was done."""

THINGS: Final = frozenset(
    "blocks bytes chunks docs documents entries events examples file files frame frames images items"
    " iterations lines messages objects packets page pages queries reads records requests rows samples"
    " sequences steps tasks tests tuples words".split()
)
"""Beside a number: so many of them."""

STEPS: Final = frozenset(
    "batch chapter chunk disc disk episode epoch epochs file files folder image images item items iteration"
    " job jobs layer layers module modules package packages page pages part pass phase round segment stage"
    " step steps table tables task tasks track tracks video videos volume".split()
)
"""Beside `3 of 10`: the parts of a job."""

RATES: Final = frozenset("bps cps dps fps hps iops kbps mbps mops ops opm pps qps rpm rps tpm tps wps".split())
"""After a number: so much in some time."""

FRACTIONS: Final = frozenset("completion fraction progress".split())
"""Before a number up to one: it is a share."""
