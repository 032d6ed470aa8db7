"""A volume server dies, stands still or is slow while eight clients download: with a replica nobody notices."""

import signal
import time

from catalogue import Catalogue
from conftest import StartTidegate
from downloads import Downloads
from pairs import CLIENT_PACE, SMALL_MEMORY, Breakable
from waiting import until

STANDS_STILL = 20.0


def eight_under_way(broken: Breakable, objects: Catalogue, start_tidegate: StartTidegate) -> Downloads:
    """Downloads that are slow enough for a fault to hit each of them in the middle."""
    things = broken.eight(objects)
    gate = start_tidegate(broken.fronts[4], SMALL_MEMORY)
    broken.slow_down()
    downloads = Downloads(gate, things, CLIENT_PACE)
    downloads.under_way()
    return downloads


def test_a_server_that_is_killed_is_not_noticed(
    pair: Breakable, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    downloads = eight_under_way(pair, objects, start_tidegate)
    gate = downloads.gate
    until(lambda: gate.metrics().sum("tidegate_fetches_in_flight") >= 4, "fetches are in flight")
    given = pair.lines[0].passed
    pair.cluster.kill_volume(0)
    downloads.in_the_middle()
    downloads.all_right()
    assert given > 0, "the server that died had a part in it"
    assert gate.metrics().sum("tidegate_fetch_retries_total") > 0, "fetches were hit"
    assert gate.metrics().sum("tidegate_responses_cut_total") == 0


def test_downloads_that_begin_after_a_server_died_are_not_hurt(
    pair: Breakable, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    things = pair.eight(objects)
    gate = start_tidegate(pair.fronts[4], SMALL_MEMORY)
    pair.cluster.kill_volume(1)
    Downloads(gate, things).all_right()


def test_a_server_that_is_killed_without_a_replica_cuts(
    lone: Breakable, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    downloads = eight_under_way(lone, objects, start_tidegate)
    gate = downloads.gate
    lone.cluster.kill_volume(0)
    assert downloads.endings() == ["cut"] * 8
    assert gate.metrics().sum("tidegate_responses_cut_total", by="failure") == 8
    lone.mend()
    Downloads(gate, downloads.things).all_right()


def test_a_server_that_stands_still_for_20_s_fails_nobody(
    pair: Breakable, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    """Its kernel still takes connections and requests, and nothing comes back."""
    downloads = eight_under_way(pair, objects, start_tidegate)
    gate = downloads.gate
    stopped = time.monotonic()
    pair.cluster.volumes[1].signal(signal.SIGSTOP)
    try:
        downloads.in_the_middle()
        later = Downloads(gate, downloads.things[:2])
        time.sleep(STANDS_STILL - (time.monotonic() - stopped))
    finally:
        pair.cluster.volumes[1].signal(signal.SIGCONT)
    downloads.all_right()
    later.all_right()
    assert gate.metrics().sum("tidegate_responses_cut_total") == 0


def test_of_a_slow_and_a_fast_server_the_fast_one_gives_most(
    pair: Breakable, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    things = pair.eight(objects)
    gate = start_tidegate(pair.fronts[4], SMALL_MEMORY)
    slow, fast = pair.lines
    slow.calm()
    fast.calm()
    slow.delay = 0.5
    Downloads(gate, things).all_right()
    assert slow.passed > 0, "the slow one was asked at all"
    assert slow.passed < fast.passed / 2
