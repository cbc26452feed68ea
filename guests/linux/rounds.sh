# SPDX-License-Identifier: MIT
# For the scripts in works/. Each round checks its own result: bad() ends the work, and says so.
. /lib/guest/settings
round=0
bad()
{
	echo "linux: work $work round $round BAD: $*"
	exit 1
}
# True as long as another round is wanted; says that the last one was well.
next_round()
{
	/lib/guest/mark round
	[ "$round" = 0 ] || echo "linux: work $work round $round ok${said:+: $said}"
	[ "$rounds" != 0 ] && [ "$round" -ge "$rounds" ] && return 1
	[ "$round" = 0 ] || sleep "$pace"
	round=$((round + 1))
}
