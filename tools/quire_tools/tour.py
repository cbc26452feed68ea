# SPDX-License-Identifier: MIT
"""The demo of `make run`: a tour of a minute that types into the monitor, and then leaves it to whoever watches.

Every figure is asked of the running machine, or counted from a snapshot of its memory.
"""
import json
import select
import sys
import time

from .snapshot import snapshot

BAR = 40
PAGES_PER_MIB = 256


class Skipped(Exception):
    """Somebody pressed a key: the tour is over, the monitor is theirs."""


class Tour:
    def __init__(self, session):
        self.session = session
        self.screen = session.echo
        self.tty = sys.stdin.isatty()

    # ---- talking

    def say(self, text=""):
        """A line of the tour itself, set apart from what the machine prints."""
        self.screen.write(f"\033[1;36m{text}\033[0m\r\n" if self.tty else f"{text}\n")
        self.screen.flush()

    def show(self, command):
        """Type a command where everybody sees it."""
        self.check_key()
        self.session.echo = self.screen
        self.session.command(command)
        self.session.await_echo("quire> ")
        self.session.echo = None
        self.say()

    def ask(self, command):
        """Type a command behind the scenes; returns the JSON objects that it printed."""
        self.check_key()
        self.session.echo = None
        _, lines = self.session.command(command)
        return [json.loads(line) for line in lines if line.startswith("{")]

    def check_key(self):
        if self.tty and select.select([sys.stdin], [], [], 0)[0]:
            sys.stdin.buffer.raw.read(1)
            raise Skipped

    # ---- what is shown

    def sharing(self):
        return next(o for o in self.ask("sharing --json") if "domain" not in o)

    def domains(self):
        return self.ask("list --json")

    def guest_mib(self):
        return sum(d["memory_pages"] for d in self.domains()) / PAGES_PER_MIB

    def watch(self, seconds, until=None):
        """A line now and then: what is saved, as a bar of all guests' memory."""
        total = self.guest_mib()
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            s = self.sharing()
            saved, free = s["pages_saved"] / PAGES_PER_MIB, s["frames_free"] / PAGES_PER_MIB
            bar = "#" * round(BAR * saved / total)
            self.say(f"  saved {saved:6.1f} of {total:.0f} MiB |{bar:{BAR}}| merges {s['merges']:7} breaks {s['breaks']:6}"
                     f" free {free:6.1f} MiB")
            if until and until(s):
                return
            self.pause(2)

    def pause(self, seconds):
        """Let the machine run on."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.check_key()
            self.session.pump(0.1)

    def quiet(self):
        """A test for watch: much is saved, and no more than a hundredth of it since the last look."""
        last, much = [0], self.guest_mib() * PAGES_PER_MIB / 3

        def still(s):
            same = s["pages_saved"] > much and abs(s["pages_saved"] - last[0]) <= last[0] // 100
            last[0] = s["pages_saved"]
            return same
        return still

    def burst(self):
        """A test for watch: a hundredth or more was broken out, and then merged again."""
        saved = []

        def over(s):
            saved.append(s["pages_saved"])
            return min(saved) < 0.99 * max(saved) <= saved[-1]
        return over

    def compare_with_oracle(self):
        """Everything stands still; every page of every guest is compared with every other, outside of the machine."""
        self.check_key()
        self.session.echo = None
        with snapshot(self.session, [d["name"] for d in self.domains()]) as seen:
            t = seen.truth
        self.say(f"  an oracle outside, from a snapshot of all memory: {t.saved} pages could be saved"
                 f" ({t.zero + t.ones} constant, {t.self_saved} within a guest, {t.inter_saved} between guests)")
        self.say(f"  Quire saves {seen.total['pages_saved']}.")

    # ---- the tour

    def run(self):
        self.session.until(lambda: self.session.heard.tag("ready") is not None, "the monitor")
        if self.session.heard.refused:
            self.say("This machine cannot run guests; the monitor is there all the same.")
            return
        memory = self.session.machine.options.memory
        self.say()
        self.say(f"A machine of {memory} MiB, and guests that were promised {self.guest_mib():.0f} MiB."
                 " (Press a key to end the tour and have the monitor.)")
        self.show("list")
        self.say("They fill their memory. The scanner finds equal pages and stores each once:")
        self.watch(60, self.quiet())
        self.say("Is that all there is to find?")
        self.compare_with_oracle()
        self.say()
        self.say("Two guests write bursts into merged pages: each write breaks one out, and later it is merged again.")
        self.watch(25, self.burst())
        self.say()
        self.say("The operator asks one guest for half of its memory; its balloon gives it back.")
        target = next(d for d in self.domains() if d["name"] == "balloon")
        self.show(f"mem-set balloon {target['memory_pages'] // PAGES_PER_MIB // 2}")
        self.pause(3)
        self.show("list")
        self.show("audit")
        self.say("The monitor is yours: try `help`, `top`, `sharing`, `console storm-1`,"
                 f" `mem-set balloon {target['memory_pages'] // PAGES_PER_MIB}`.")
        self.say("Ctrl-] twice, or `poweroff`, ends the machine.")


def tour(session, kind=Tour):
    """Give the tour; whatever happens, the machine is left running."""
    t = kind(session)
    try:
        t.run()
    except Skipped:
        t.say("The monitor is yours; `help` lists its commands. Ctrl-] twice, or `poweroff`, ends the machine.")
    session.echo = t.screen
