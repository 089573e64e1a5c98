# SPDX-License-Identifier: Apache-2.0
"""Packets between servers are late, overtake one another, and get lost, while clients work:
harness/scene.py says what must hold afterwards."""
import random
import time

import pytest

from harness.scene import since
from harness.switch import Weather
from harness.waiting import holds_for

pytestmark = pytest.mark.timeout(150)


def between(names, weather):
    """The same weather in every direction between these hosts."""
    return {(a, b): weather for a in names for b in names if a != b}


@pytest.mark.parametrize(
    "weather",
    [Weather(delay_ms=60), Weather(delay_ms=5, jitter_ms=100)],
    ids=["delay", "jitter"],
)
def test_late_packets_cost_time_and_nothing_else(new_scene, measure, weather):
    """A round trip takes less than syncLimit: nobody loses the leader. With jitter the connections
    of elections, of replication and of clients overtake one another."""
    three = new_scene(weather=True).start()
    leader = three.ensemble.leader()
    looked = {server: times_looking(server) for server in three.servers}
    begin = time.monotonic()
    three.network.set_weather(between(three.network.hosts, weather))
    three.writes_go_on(count=5)
    measure(f"{weather}, longest time without writes", three.gap(begin))
    assert {server: times_looking(server) for server in three.servers} == looked
    assert three.ensemble.leader() is leader
    begin = time.monotonic()
    leader.kill9()
    three.leader_among(three.ensemble.running())
    measure(f"{weather}, kill -9 of the leader, another one leads", since(begin))
    three.writes_go_on(count=2)
    measure(f"{weather}, kill -9, longest time without writes", three.gap(begin))
    leader.start(wait=False)
    three.heal()
    three.finish()


def times_looking(server):
    return server.process.log().count("looking for a leader")


@pytest.mark.parametrize("direction", ["from", "to"])
def test_packets_of_one_direction_get_lost(new_scene, measure, direction):
    """A fifth of what the leader sends to the others, or of what they send to it."""
    three = new_scene(weather=True).start()
    leader = three.ensemble.leader().host.name
    others = [s.host.name for s in three.servers if s.host.name != leader]
    ways = [(leader, o) if direction == "from" else (o, leader) for o in others]
    begin = time.monotonic()
    three.network.set_weather({way: Weather(loss=0.2) for way in ways})
    three.writes_go_on(count=20)
    measure(f"a fifth lost {direction} the leader, longest time without writes", three.gap(begin))
    three.heal()
    three.finish()


def test_leader_whose_packets_come_too_late(new_scene, measure):
    """What it sends is under way for longer than syncLimit: it gives way, and is not elected again
    for as long as the others hear it so late."""
    three = new_scene(weather=True).start()
    leader = three.ensemble.leader()
    others = [s for s in three.servers if s is not leader]
    begin = time.monotonic()
    late = {(leader.host.name, name): Weather(delay_ms=3000) for name in three.names(others)}
    three.network.set_weather(late)
    three.leader_among(others)
    measure("packets of the leader 3 s late, another one leads", since(begin))
    three.gives_way(leader)
    three.writes_go_on()
    measure("packets of the leader 3 s late, longest time without writes", three.gap(begin))
    assert holds_for(3, lambda: three.ensemble.mode(leader) != "leader", pause=0.1)
    three.heal()
    three.finish()


@pytest.mark.parametrize("servers", [3, 5])
def test_changing_weather_and_kills(new_scene, request, measure, servers):
    """Each second another weather in each direction and, now and then, a server that is killed or
    cut off. Its seed is the test's name."""
    dice = random.Random(request.node.name)
    scene = new_scene(servers=servers, clients=4, weather=True).start()
    names = scene.names(scene.servers)
    begin = time.monotonic()
    for _ in range(8):
        scene.network.set_weather(
            {way: some_weather(dice) for way in between(names, None) if dice.random() < 0.7}
        )
        victim = dice.choice(scene.servers)
        what = dice.choice(["kill", "cut", "nothing"])
        if what == "kill":
            victim.kill9()
        elif what == "cut":
            others = [name for name in names if name != victim.host.name]
            scene.network.split([victim.host.name], others)
        time.sleep(1)
        if what == "kill":
            victim.start(wait=False)
        elif what == "cut":
            scene.network.join()
    measure(f"weather and kills, {servers} servers, longest time without writes", scene.gap(begin))
    scene.heal()
    scene.finish()


def some_weather(dice):
    kind = dice.choice(["late", "jitter", "loss", "all"])
    return Weather(
        delay_ms=dice.choice([10, 50, 200]) if kind in ("late", "all") else 0,
        jitter_ms=dice.choice([20, 100]) if kind in ("jitter", "all") else 0,
        loss=dice.choice([0.02, 0.1]) if kind in ("loss", "all") else 0.0,
    )
