# SPDX-License-Identifier: MIT
"""More memory promised than there is: does everybody wait who must, and goes on when there is some?"""
import json
import re

from .case import carry_out

LOOKS = 60
DESKTOP = re.compile(r"# desktop pages=(\d+) unique=(\d+) volatile=(\d+) zeroed=(\d+) common=(\d+)")
USED = "after the use: every byte"
AT_END = "at the end: every byte"


def frames(session):
    """What `frames --json` says: the machine, and the domains by name."""
    _, lines = session.command("frames --json")
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    return rows[0], {row["name"]: row for row in rows[1:]}


def adds_up(machine):
    kinds = ("reserved", "hypervisor", "service", "constant", "table", "private", "shared", "compressed", "free")
    total = sum(machine[f"frames_{kind}"] for kind in kinds)
    trouble = [] if total == machine["frames_total"] else [f"{total} frames of all kinds, {machine['frames_total']} in the machine"]
    if machine["frames_free"] < machine["frames_guaranteed"]:
        trouble.append(f"{machine['frames_free']} frames are free, {machine['frames_guaranteed']} are guaranteed")
    if machine["waiting_within_min"]:
        trouble.append("a domain within its min waits")
    return trouble


def until_stalled(session):
    """Troubles, if nothing is stalled whenever we look; and what `frames` says then. The monitor is not asked until it has
    said so by itself: that costs more than the stall. A stall may end by itself for a moment, when the reserve shrinks and somebody is served."""
    told = 0
    for _ in range(LOOKS):
        session.until(lambda: stalls(session) > told, "a stall")
        told = stalls(session)
        machine, domains = frames(session)
        if machine["state"] == "STALLED":
            return [], machine, domains
    return ["it was never stalled when we looked"], machine, domains


def stalls(session):
    return sum(line.startswith("@quire stalled") for line in session.heard.lines)


def audited(session, trouble):
    if session.command("audit")[0]:
        trouble.append("the audit found something")


def resumes_after(command, left, first=(), last=()):
    """All wait; the monitor says so and what would help; that is done, and who is left comes to its end.
    `first` and `last`: lines to type before and after."""
    def check(session, notes):
        for line in first:
            session.command(line)
        trouble, machine, domains = until_stalled(session)
        trouble += adds_up(machine)
        audited(session, trouble)
        notes.append(f"stalled with {machine['waiting']} waiting, {machine['frames_free']} frames free, "
                     f"{machine['frames_guaranteed']} of them guaranteed, {machine['frames_reserve']} reserve")
        if not any(command in line for line in session.heard.lines):
            trouble.append(f"nobody said that `{command}` would help")
        if not any(row["waiting"] for row in domains.values()):
            trouble.append("no domain waits")
        if session.command(command)[0]:
            trouble.append(f"`{command}` failed")
        return trouble + ended_well(session, left, last, notes)
    return check


def ended_well(session, left, last, notes):
    lines = [f"wait {name} 100" for name in left] + list(last) + ["wait all 100"]
    trouble = [said for line in lines for said in carry_out(session, line)]
    audited(session, trouble)
    machine, _ = frames(session)
    trouble += adds_up(machine)
    if machine["state"] != "flows":
        trouble.append(f"at the end the state is {machine['state']}")
    notes.append(f"the longest wait was {machine['longest_wait_ms']:.0f} ms; {machine['served']} turns were given")
    return trouble


def squeezed(session, notes):
    """More was written than there is, and it went on since cold pages were compressed: nothing stalled."""
    audited(session, trouble := [])
    machine, _ = frames(session)
    notes.append(f"{machine['compressions']} pages were compressed, {machine['expansions']} came back, {machine['incompressible']} were tried in vain; "
                 f"{machine['pages_compressed']} are compressed now, {machine['compressed_bytes']} bytes in {machine['frames_compressed']} frames; "
                 f"the longest wait was {machine['longest_wait_ms']:.0f} ms")
    if not machine["compressions"] or not machine["expansions"]:
        trouble.append("nothing was compressed, or nothing came back")
    if session.heard.tag("stalled"):
        trouble.append("it stalled")
    return trouble + adds_up(machine)


def refused_often(session, notes):
    """After refusals on request: there were some, and nothing of them is left."""
    session.command("refuse off")
    refused = int(session.heard.tag("refuse")["refused"])
    machine, _ = frames(session)
    notes.append(f"{refused} requests were refused; the longest wait was {machine['longest_wait_ms']:.0f} ms; "
                 f"{machine['served']} turns were given")
    return adds_up(machine) + ([] if refused else ["no request was refused"])


def saying(session, words):
    """How many guests have printed a line with these words."""
    return sum(any(words in line for line in guest.lines) for guest in session.heard.guests.values())


def sharing(session):
    """What `sharing --json` says: the whole, and the domains."""
    _, lines = session.command("sharing --json")
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    return rows[0], rows[1:]


def desktops_truth(session):
    """What can be saved at least, by what each desktop says that it wrote: {part of `sharing`: pages}."""
    told = [[int(n) for n in found.groups()] for guest in session.heard.guests.values()
            for line in guest.lines if (found := DESKTOP.match(line))]
    common = [row[4] for row in told]
    return {"zero": sum(row[3] for row in told), "inter": sum(common) - max(common)}


def desktops(number, seconds):
    """Guests that write all of their memory, and have more than the machine: all is written, and all is saved that can be."""
    def check(session, notes):
        for _ in range(seconds):
            if saying(session, USED) == number:
                break
            session.command("sleep 1000")
        else:
            return [f"{saying(session, USED)} of {number} had used their memory after {seconds} s"]
        session.command("settle")
        machine, _ = frames(session)
        total, domains = sharing(session)
        trouble = adds_up(machine)
        untouched = sum(d["untouched"] for d in domains)
        truth = desktops_truth(session)
        if untouched:
            trouble.append(f"{untouched} pages were never touched")
        if machine["promised_pages"] <= machine["frames_total"]:
            trouble.append(f"{machine['promised_pages']} pages were promised, and the machine has {machine['frames_total']}")
        trouble += [f"{part}: {total[part]} pages are saved, {truth[part]} could be" for part in truth if total[part] < truth[part]]
        notes.append(f"{machine['promised_pages']} pages promised, {machine['frames_total']} there, {total['pages_saved']} saved; "
                     f"the longest wait was {machine['longest_wait_ms']:.0f} ms")
        names = [f"pc-{n + 1}" for n in range(number)]
        return trouble + ended_well(session, [], [f"shutdown {name}" for name in names], notes)
    return check


class Passers(dict):
    """Outcomes: guests of this name come and are destroyed whatever they do; the others end as a test does."""

    def __init__(self, prefix):
        super().__init__()
        self.prefix = prefix

    def __contains__(self, name):
        return name.startswith(self.prefix)

    def pop(self, name):
        return "any"


PASSER = "passer-"
LAP = ("refuse every 2", "sleep 2000", "refuse all 1000", "sleep 1100", "refuse every 3", "sleep 1000")


def refused(session):
    session.command("refuse")
    return int(session.heard.tag("refuse")["refused"])


def refused_until(number, guests):
    """Refusals without end, until there were so many; in each lap a guest with a balloon comes, and is destroyed in the middle of what it does."""
    def check(session, notes):
        laps, made, trouble, count = 0, 0, [], 0
        session.command(f"destroy {PASSER}0")  # it is there for the file of its kernel
        session.command("sleep 2000")
        while count < number and not trouble:
            laps += 1
            name = f"{PASSER}{laps}"
            create = f'create name={name} kernel=balloon.elf memory=4 min=0 share_group=pool extra="mode=breathe rounds=9 period=200"'
            status, _ = session.command(create)  # as a rule something that it needs is refused, and what it had is given back
            if status:
                session.command("refuse off")
                status, _ = session.command(create)
            made += not status
            for line in LAP:
                session.command(line)
            if not status:
                session.command(f"destroy {name}")
            audited(session, trouble)
            machine, _ = frames(session)
            trouble += adds_up(machine)
            count = refused(session)
        session.command("refuse off")
        trouble += ended_well(session, [], [f"shutdown {name}" for name in guests], notes)
        trouble += [f"{guest.name}: {line}" for guest in session.heard.guests.values() for line in guest.failures]
        trouble += [] if made else ["no guest could be made meanwhile"]
        notes.append(f"{count} requests were refused in {laps} laps; {made} guests came and went; an audit each lap")
        return trouble
    return check


def audited_often(number, guests):
    """So many audits of the live machine while guests write to what is shared, half of them while the allocator refuses."""
    def check(session, notes):
        session.command(f"destroy {PASSER}0")
        session.command("sleep 2000")
        trouble, sums = [], {"audits": 0, "changed": 0, "checks": 0, "failures": 0}
        for refusing in ("off", "every 3", "off", "every 2"):
            session.command(f"refuse {refusing}")
            session.command(f"audit {number // 4}")
            told = session.heard.tag("audit")
            sums = {key: sums[key] + int(told[key]) for key in sums}
        notes.append(f"{sums['audits']} audits, {sums['checks']} comparisons, {sums['failures']} failures; at {sums['changed']} audits another number of pages "
                     f"was saved than at the one before; {refused(session)} requests were refused meanwhile")
        session.command("refuse off")
        trouble += [] if sums["audits"] >= number and not sums["failures"] else ["an audit failed"]
        trouble += [] if 5 * sums["changed"] >= number else ["nearly nothing changed between the audits"]
        return trouble + ended_well(session, [], [f"shutdown {name}" for name in guests], notes)
    return check
