"""The queue between the daemon and a sink."""

import asyncio

import pytest

from cogd.events import Event, SourceChanged
from cogd.runtime import feed as feed_module
from cogd.runtime.feed import EventFeed

PATIENCE_S = 5.0


class Clock:
    now_s = 100.0

    def monotonic_s(self):
        return self.now_s


@pytest.fixture
def recovered():
    return []


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def feed(clock, recovered):
    return EventFeed(clock, lambda: "the state", lambda: recovered.append(1))


def put(feed, *texts):
    for text in texts:
        feed.put(Event(ts=1.0, level="info", event="x", fields=SourceChanged(source=text, state="up", reason=None)))


def texts(events):
    return [event.fields.source for event in events]


class TestTaking:
    async def test_gives_all_that_is_queued_in_order_up_to_the_limit(self, feed):
        put(feed, "a", "b", "c")
        assert texts(await feed.get_many(2)) == ["a", "b"]
        assert texts(await feed.get_many()) == ["c"]

    async def test_waits_for_the_first_and_is_woken_once_for_many(self, feed):
        taking = asyncio.create_task(feed.get_many())
        await asyncio.sleep(0)
        put(feed, *"abcdefgh")
        assert texts(await asyncio.wait_for(taking, PATIENCE_S)) == list("abcdefgh")

    async def test_ends_after_the_last_event(self, feed):
        put(feed, "a", "b")
        feed.close()
        assert texts([event async for event in feed]) == ["a", "b"]
        assert await feed.get_many() == ()

    async def test_ends_where_it_waits_already(self, feed):
        taking = asyncio.create_task(feed.get_many())
        await asyncio.sleep(0)
        feed.close()
        assert await asyncio.wait_for(taking, PATIENCE_S) == ()

    async def test_that_is_cancelled_loses_nothing(self, feed):
        taking = asyncio.create_task(feed.get_many())
        await asyncio.sleep(0)
        put(feed, "a")
        taking.cancel()
        await asyncio.wait({taking})
        assert texts(await feed.get_many()) == ["a"]

    async def test_gives_the_state_of_the_moment(self, feed):
        assert feed.state() == "the state"


class TestAQueueThatIsFull:
    @pytest.fixture(autouse=True)
    def short(self, monkeypatch):
        monkeypatch.setattr(feed_module, "QUEUED_EVENTS", 4)

    async def test_drops_the_oldest_and_counts_it(self, feed):
        put(feed, *"abcdef")
        assert texts(await feed.get_many()) == list("cdef")
        assert feed.dropped == {"sink_overload": 2}

    async def test_of_a_sink_that_was_woken_and_did_not_run_yet_does_too(self, feed):
        taking = asyncio.create_task(feed.get_many())
        await asyncio.sleep(0)
        put(feed, *"abcdef")
        assert texts(await asyncio.wait_for(taking, PATIENCE_S)) == list("cdef")

    async def test_of_a_sink_that_failed_counts_that(self, feed):
        feed.fail("no route", outside=True)
        put(feed, *"abcdef")
        assert feed.dropped == {"sink_failed": 2}

    async def test_has_room_while_it_is_less_than_half_full(self, feed):
        put(feed, "a")
        assert feed.has_room
        put(feed, "b")
        assert not feed.has_room


class TestWhatIsInHand:
    async def test_is_delivered_when_more_is_asked_for(self, feed):
        put(feed, "a", "b")
        await feed.get_many(1)
        assert feed.left == 2
        await feed.get_many(1)
        assert feed.left == 1

    async def test_comes_again_after_a_failure_but_for_what_was_done(self, feed):
        put(feed, *"abcd")
        await feed.get_many(3)
        feed.done(2)
        feed.fail("no route", outside=True)
        assert texts(await feed.get_many()) == ["c", "d"]
        assert not feed.dropped

    async def test_comes_again_however_often_the_world_outside_is_to_blame(self, feed):
        put(feed, "a")
        for _ in range(10):
            assert texts(await feed.get_many()) == ["a"]
            feed.fail("no route", outside=True)
        assert not feed.dropped

    async def test_is_dropped_and_counted_when_the_sink_has_failed_by_itself_three_times(self, feed):
        put(feed, "a", "b")
        for _ in range(3):
            assert texts(await feed.get_many(1)) == ["a"]
            feed.fail("ZeroDivisionError", outside=False)
        assert texts(await feed.get_many(1)) == ["b"]
        assert feed.dropped == {"sink_failed": 1}

    async def test_is_lost_when_the_sink_ends_for_good_and_so_is_all_that_follows(self, feed):
        put(feed, "a", "b")
        await feed.get_many(1)
        feed.end("wrong password")
        put(feed, "c")
        assert (feed.left, feed.dropped) == (0, {"sink_failed": 3})
        assert feed.has_room

    async def test_is_not_cleared_with_the_queue(self, feed):
        put(feed, *"abc")
        await feed.get_many(1)
        feed.clear("sink_overload")
        assert (feed.left, feed.dropped) == (1, {"sink_overload": 2})


class TestASinkThatFailed:
    async def test_works_again_when_it_has_delivered(self, feed, recovered):
        feed.fail("no route", outside=True)
        put(feed, "a", "b")
        await feed.get_many(1)
        assert (feed.failing, recovered) == ("no route", [])
        await feed.get_many(1)
        assert (feed.failing, recovered) == (None, [1])

    async def test_can_count_what_it_lost_itself(self, feed):
        feed.drop("too_long", 2)
        assert feed.dropped == {"sink_too_long": 2}


class TestASinkThatStalls:
    async def test_has_taken_nothing_for_ten_seconds(self, feed, clock):
        put(feed, "a", "b")
        await feed.get_many(1)
        clock.now_s += 9.9
        assert not feed.stalled
        clock.now_s += 0.2
        assert feed.stalled

    async def test_is_not_one_for_which_there_is_nothing(self, feed, clock):
        taking = asyncio.create_task(feed.get_many())
        await asyncio.sleep(0)
        clock.now_s += 1000
        put(feed, "a")
        assert not feed.stalled
        await taking


class TestJoining:
    async def test_waits_until_more_is_asked_for(self, feed):
        put(feed, "a", "b")
        joining = asyncio.create_task(feed.join())
        await feed.get_many(1)
        await asyncio.sleep(0)
        assert not joining.done()
        await feed.get_many(1)
        await asyncio.sleep(0)
        assert not joining.done()
        taking = asyncio.create_task(feed.get_many())
        await asyncio.wait_for(joining, PATIENCE_S)
        taking.cancel()

    @pytest.mark.parametrize("how", ["ends", "is done"])
    async def test_ends_when_the_sink(self, feed, how):
        put(feed, "a")
        await feed.get_many()
        joining = asyncio.create_task(feed.join())
        await asyncio.sleep(0)
        feed.end("gone") if how == "ends" else feed.done(1)
        await asyncio.wait_for(joining, PATIENCE_S)
