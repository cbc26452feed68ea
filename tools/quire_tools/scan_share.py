# SPDX-License-Identifier: MIT
"""Whether the scanner takes no more of a CPU than the operator lets it, while guests want all of them."""
MEASURED_MS = 3000


def share_of(session):
    session.command("scan")
    return {key: int(value) for key, value in session.heard.tag("scan-share").items()}


def within_its_share(session, notes):
    """With one and with five per cent. The clock is the machine's own, so a busy host makes no difference."""
    trouble = []
    session.command("sleep 2000")
    for percent in (1, 5):
        session.command(f"scan cpu {percent}")
        session.command(f"sleep {MEASURED_MS}")
        took = share_of(session)
        most = took["of_us"] * percent / 100 + took["longest_us"]
        notes.append(f"{percent} %: {took['busy_us']} us of {took['of_us']}, the longest piece {took['longest_us']}, idle {took['idle_us']}")
        if took["percent"] != percent:
            trouble.append(f"its share is {took['percent']} %, not {percent}")
        if took["of_us"] < MEASURED_MS * 1000:
            trouble.append(f"{took['of_us']} us went by, not {MEASURED_MS} ms")
        if took["busy_us"] > most:
            trouble.append(f"it took {took['busy_us']} us, where {most:.0f} are {percent} % and one piece")
        if not took["busy_us"]:
            trouble.append("it took nothing at all")
    for name in ("storm-1", "storm-2", "busy-1", "busy-2", "busy-3"):
        session.command(f"shutdown {name}")
    return trouble + [f"`{line}` ended with status {status}" for line in ("wait all 100", "audit")
                      if (status := session.command(line)[0])]
