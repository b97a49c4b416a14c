# Fresh Debian roots for tests: made by mmdebstrap, entered in namespaces of
# their own, removed.  Sourced by scripts that run as root with
# "set -euo pipefail" and have sourced common.sh; never run.
#
# What is mounted in a root is mounted in the mount namespace of one
# enter_root() only, so nothing has to be unmounted, however the script ends.
# The same holds for processes: those that a command leaves behind end with it,
# daemons too.  The network is the machine's.
# shellcheck shell=bash

# what enter_root mounts: "directory of the machine:path in the root"
root_binds=()
# the process that is in a root, or makes one; empty if none
root_pid=

# Prints the address of Debian's packages that the machine itself uses.
debian_mirror()
{
	local mirror

	mirror=$(sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
	[ -n "$mirror" ] ||
		mirror=$(sed -n 's/^deb[[:space:]]\+\(\[[^]]*\][[:space:]]\+\)\?\([^[:space:]]*\).*/\2/p' /etc/apt/sources.list 2>/dev/null | head -n 1)
	printf '%s\n' "${mirror:-http://deb.debian.org/debian}"
}

# root_sources SUITE: the lines of the root's sources.list.
root_sources()
{
	local mirror key='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'

	mirror=$(debian_mirror)
	echo "deb $key $mirror $1 main"
	# a suite that is not released has no updates
	case $1 in
		bookworm | trixie)
			echo "deb $key $mirror $1-updates main"
			echo "deb $key ${mirror%/}-security $1-security main"
			;;
	esac
}

# in_namespaces COMMAND...: its mounts and processes end with it, and it ends
# when the script does.  In the background, because a shell heeds a signal
# only when its foreground command has ended.
in_namespaces()
{
	local status=0

	unshare --mount --pid --ipc --fork --kill-child --propagation private "$@" </dev/null &
	root_pid=$!
	wait "$root_pid" || status=$?
	root_pid=
	return "$status"
}

# make_root SUITE DIR [PACKAGE,PACKAGE...]: a minimal Debian with apt and the
# machine's own way to its package registries.  DIR must not exist.  Fails
# after three tries.
make_root()
{
	local suite=$1 dir=$2 include=ca-certificates,passwd,procps${3:+,$3} file sources
	local options=(--quiet --mode=root --variant=apt --aptopt='APT::Install-Recommends "false"')

	need_packages 'mmdebstrap: command -v mmdebstrap'
	# how apt gets packages here: mirrors, proxies, dates that are not checked
	for file in /etc/apt/apt.conf.d/*; do
		! grep -qE '^[[:space:]]*Acquire' "$file" || options+=(--aptopt="$file")
	done
	mapfile -t sources < <(root_sources "$suite")
	mkdir -p "$(dirname "$dir")"
	for _ in 1 2 3; do
		rm -rf --one-file-system "$dir"
		if in_namespaces mmdebstrap "${options[@]}" --include="$include" \
			"$suite" "$dir" "${sources[@]}" >"$dir.log" 2>&1; then
			copy_registry_settings "$dir"
			rm -f "$dir.log"
			return
		fi
	done
	tail -n 20 "$dir.log" >&2
	return 1
}

# The machine's own names, certificates and settings for package registries.
copy_registry_settings()
{
	local file

	for file in /etc/resolv.conf /etc/hosts /etc/pip.conf; do
		[ ! -e "$file" ] || cp -L "$file" "$1$file"
	done
	for file in /usr/local/share/ca-certificates/*.crt; do
		[ ! -e "$file" ] || cp -L "$file" "$1$file"
	done
	chroot "$1" update-ca-certificates >/dev/null 2>&1 || true
}

# enter_root DIR USER COMMAND...: runs it there as that user, in the user's
# home, with nothing of this environment but proxies.
enter_root()
{
	local dir=$1 user=$2 home name bind
	local environment=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8)

	shift 2
	home=$(awk -F : -v user="$user" '$1 == user { print $6 }' "$dir/etc/passwd")
	[ -n "$home" ] || die "there is no user $user in $dir"
	environment+=("HOME=$home" "USER=$user" "LOGNAME=$user")
	for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
		[ -z "${!name:-}" ] || environment+=("$name=${!name}")
	done
	for bind in "${root_binds[@]}"; do
		mkdir -p "$dir${bind#*:}"
	done
	# the shell stays: as process 1 it has to reap what others leave behind
	in_namespaces bash -c '
		set -e
		dir=$1 user=$2 home=$3 nbinds=$4
		shift 4
		mount --bind /dev "$dir/dev"
		mount -t tmpfs -o mode=1777 tmpfs "$dir/dev/shm"
		mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$dir/dev/pts"
		mount -t proc proc "$dir/proc"
		for ((; nbinds > 0; nbinds--)); do
			mount --bind "${1%%:*}" "$dir${1#*:}"
			shift
		done
		chroot "$dir" runuser -u "$user" -- env -i -C "$home" "$@" && exit 0 || exit
	' enter_root "$dir" "$user" "$home" "${#root_binds[@]}" ${root_binds[@]+"${root_binds[@]}"} \
		"${environment[@]}" "$@"
}

# remove_root DIR: ends what runs in it, if this script has started it.
remove_root()
{
	if [ -n "$root_pid" ]; then
		kill -s KILL "$root_pid" 2>/dev/null || true
		wait "$root_pid" 2>/dev/null || true
		root_pid=
	fi
	rm -rf --one-file-system "$1" "$1.log"
}
