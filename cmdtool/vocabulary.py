"""The words beside a number that tell what it is: progress, a thing that is counted, or neither."""

from typing import Final

NOT_PROGRESS: Final = frozenset(
    "acc accuracy aligned allocated attempt average avg battery brightness budget buffer busy cache chance"
    " charge compression confidence confident connections coverage covered cpu cpus defect deflate deflated"
    " discount disk dropout duplicates duplication elapsed error errors fail failed faster fds fragmentation"
    " free full gpu growth health heap hit hits hp humidity identical identity idle interest iowait keys limit"
    " load loss losses lost mapped mem memory mfu miss misses odds opacity open overhead packet passed passing"
    " peak pool precision probability quality quota ram rate rating ratio recall reduction replicas_used"
    " retries retry retrying reused risk saved saving savings score similar similarity skipped slower sockets"
    " speedup stored swap sys system tax temp temperature test_loss tests throttled try usage use used user"
    " util utilization variance version volume wait wins xp".split()
)
"""Beside a percentage or a pair: it is a ratio, a load or a score."""

PROGRESS: Final = frozenset(
    "building complete completed completion converting copied copying done downloaded downloading encoding"
    " eta extracting finished installing left loading processed processing progress remaining uploaded"
    " uploading".split()
)
"""Beside a percentage: it is progress."""

NOT_COUNT: Final = frozenset(
    "age at attempt average avg bitrate build changed close col cols column cores cpu date delay deletions"
    " depth duration elapsed error errors eta evicted exit fps high hp id in inode input insertions interval"
    " irq jobs level limit line load loss low lr max mean mem memory min mode n_jobs node offset opacity open"
    " pid port ppid price priority proc process rank rate rating ratio retry revision row_id rsi rss rssi run"
    " runtime score seed size speed status stddev temp temperature thread threads time timeout timestamp took"
    " total try ts ttl uid uptime usd used version vol volume wait warning warnings worker workers xp".split()
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

RATES: Final = frozenset("bps cps dps fps hps iops kbps mbps mops opm ops pps qps rpm rps tpm tps wps".split())
"""After a number: so much in some time."""

FRACTIONS: Final = frozenset("completion fraction progress".split())
"""Before a number up to one: it is a share."""

METRICS: Final = frozenset("acc accuracy bleu lat latency loss lr mae mfu mse perplexity ppl".split())
"""In a record with one of them a percentage is a measure, unless a bar or a word says otherwise."""

WHOLE: Final = frozenset("altogether gesamt overall total".split())
"""Beside a percentage: it is that of the whole."""

NOT_PAIR: Final = frozenset(
    "accuracy attempt battery buffer cache confidence connections cpu disk elapsed failed fds gpu heap hp"
    " limit load losses mem memory open packet packets passed pool quota rate rating ratio retries retry"
    " retrying score skipped swap temperature try usage used version wins xp".split()
)
"""Beside `3/10`: it is a state, a score or a try."""
