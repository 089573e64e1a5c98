# SPDX-License-Identifier: Apache-2.0
"""A switch between hosts that has weather: packets are late, overtake one another, and get lost, in
each direction on its own. Stands in for the kernel's netem, which not every kernel has.

Run as a program it is the switch: python3 -m harness.switch SEED NAME=NAMESPACE... makes an Ethernet
device in each namespace and forwards between them until its standard input ends. Each line there is
a JSON list of [source, target, delay_ms, jitter_ms, loss]: the weather from now on."""
import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

from .namespaces import NAMESPACES, enter

DEVICE = "eth0"
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
FRAME_BYTES = 2048

# What happens to packets of one direction. Each is late by delay_ms and up to jitter_ms more, and
# lost with the probability loss. Those of one connection keep their order.
Weather = namedtuple("Weather", "delay_ms jitter_ms loss", defaults=(0, 0, 0.0))
CALM = Weather()


def mac_of(number):
    """The address of the device of the host with that number."""
    return f"02:00:00:00:00:{number:02x}"


# ---- the test's side -----------------------------------------------------------------------------


class Switch:
    """The switch's process. hosts: name -> namespace, which have their devices afterwards."""

    def __init__(self, hosts, seed):
        argv = ["/usr/bin/python3", "-m", "harness.switch", str(seed)]
        argv += [f"{name}={namespace}" for name, namespace in hosts.items()]
        folder = Path(__file__).resolve().parents[1]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
        )
        assert self._process.stdout.readline() == "ready\n", "the switch does not start"

    def set_weather(self, ways):
        """ways: (source, target) -> Weather; all others are calm. What is on its way stays late."""
        rules = [[source, target, *weather] for (source, target), weather in ways.items()]
        self._process.stdin.write(json.dumps(rules) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "ready\n", "the switch is gone"

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)


# ---- the switch's process ------------------------------------------------------------------------


def open_device(namespace):
    """A new Ethernet device in a namespace; what is read from it its host has sent."""
    with open(NAMESPACES / namespace, "rb") as target:
        enter(target)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TAP | IFF_NO_PI))
    return device


class _Forwarding:
    def __init__(self, seed, devices):
        self.random = random.Random(seed)
        self.devices = devices  # name -> descriptor
        self.names = {device: name for name, device in devices.items()}
        self.by_mac = {
            bytes.fromhex(mac_of(number).replace(":", "")): name
            for number, name in enumerate(devices, 1)
        }
        self.weather = {}
        self.late = []  # heap of (due, number, target, frame)
        self.count = 0
        self.last_due = {}  # (target, connection) -> when its last packet so far arrives

    def run(self):
        poll = select.epoll()
        poll.register(0, select.EPOLLIN)
        for device in self.names:
            poll.register(device, select.EPOLLIN)
        while True:
            wait = max(0, self.late[0][0] - time.monotonic()) if self.late else -1
            for file, _ in poll.poll(wait):
                if file == 0:
                    if not self._take_weather():
                        return
                else:
                    self._take_frames(file)
            self._deliver()

    def _take_weather(self):
        line = sys.stdin.readline()
        for source, target, *weather in json.loads(line or "[]"):
            assert source in self.devices and target in self.devices
        self.weather = {(s, t): Weather(*weather) for s, t, *weather in json.loads(line or "[]")}
        print("ready", flush=True)
        return bool(line)

    def _take_frames(self, device):
        source = self.names[device]
        while True:
            try:
                frame = os.read(device, FRAME_BYTES)
            except BlockingIOError:
                return
            target = self.by_mac.get(frame[:6])
            for name in [target] if target else self.devices:  # everybody hears who is asked for
                if name != source:
                    self._take(source, name, frame)

    def _take(self, source, target, frame):
        weather = self.weather.get((source, target), CALM)
        if self.random.random() < weather.loss:
            return
        seconds = (weather.delay_ms + self.random.random() * weather.jitter_ms) / 1000
        # IPv4 without options: both addresses and both ports.
        connection = (target, frame[26:38])
        due = max(time.monotonic() + seconds, self.last_due.get(connection, 0))
        self.last_due[connection] = due
        self.count += 1
        heapq.heappush(self.late, (due, self.count, target, frame))

    def _deliver(self):
        while self.late and self.late[0][0] <= time.monotonic():
            _, _, target, frame = heapq.heappop(self.late)
            try:
                os.write(self.devices[target], frame)
            except OSError:  # the host's device is down, or its queue full: lost, as on a real line
                pass


def main():
    seed, *hosts = sys.argv[1:]
    devices = {}
    for host in hosts:
        name, _, namespace = host.partition("=")
        devices[name] = open_device(namespace)
    print("ready", flush=True)
    _Forwarding(seed, devices).run()


if __name__ == "__main__":
    main()
