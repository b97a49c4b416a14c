# A check of scripts that print TAP.  Sourced, after passed and failed are set, which
# it counts.
# shellcheck shell=bash

# same NAME EXPECTED FOUND: passes when both texts are equal, and shows how they differ.
same()
{
	if [ "$2" = "$3" ]; then
		passed=$((passed + 1))
		echo "ok $((passed + failed)) - $1"
	else
		failed=$((failed + 1))
		echo "not ok $((passed + failed)) - $1"
		diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") | sed 's/^/# /' || true
	fi
}
