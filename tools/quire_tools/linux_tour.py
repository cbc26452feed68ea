# SPDX-License-Identifier: MIT
"""The demo of `make run-linux`: Debian guests boot, share, one gives memory back; then the monitor is whose who watches."""
from .linux_guests import USER_SPACE
from .tour import PAGES_PER_MIB, Tour


class LinuxTour(Tour):
    def in_user_space(self):
        return sum(any(USER_SPACE.search(line) for line in g.lines) for g in self.session.heard.guests.values())

    def run(self):
        self.session.until(lambda: self.session.heard.tag("ready") is not None, "the monitor")
        if self.session.heard.refused:
            self.say("This machine cannot run guests; the monitor is there all the same.")
            return
        guests = self.domains()
        self.say()
        self.say(f"{len(guests)} unmodified Debian kernels boot, of {self.guest_mib():.0f} MiB together."
                 " (Press a key to end the tour and have the monitor.)")
        self.watch(600, lambda _: self.in_user_space() == len(guests))
        for guest in self.session.heard.guests.values():
            said = next((found for line in guest.lines if (found := USER_SPACE.search(line))), None)
            if said:
                self.say(f"  {guest.name}: user space after {said.group(1)} s of its own time, kernel {said.group(2)}, {said.group(3)} CPUs")
        self.say("One kernel, one userland, four times: what they have in common is stored once.")
        self.watch(60, self.quiet())
        self.show("sharing")
        name, mib = guests[1]["name"], guests[1]["memory_pages"] // PAGES_PER_MIB
        self.say(f"The operator asks {name} for a quarter of its memory; Debian's own balloon driver gives it back.")
        self.show(f"mem-set {name} {mib * 3 // 4}")
        self.watch(60, lambda _: self.domains()[1]["memory_pages"] <= mib * 3 // 4 * PAGES_PER_MIB)
        self.show("list")
        self.show("audit")
        self.say(f"The monitor is yours: try `console {name}`, which has a shell (Ctrl-] leaves), `top`, `sharing`,"
                 f" `mem-set {name} {mib}`, `shutdown {name}`.")
        self.say("Ctrl-] twice, or `poweroff`, ends the machine.")
