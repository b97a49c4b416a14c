# Fresh Debian roots: made by mmdebstrap, entered in namespaces of their own.
#
# Sourced by scripts that run as root with "set -euo pipefail" and have sourced
# common.sh; never run.  What is mounted in a root is mounted in namespaces
# that end with the command that runs in them, so nothing has to be unmounted,
# however the script ends; the same holds for processes, daemons too.  The
# network is the machine's.
# shellcheck shell=bash

# the process that is in a root or makes one; empty if none
root_pid=
# the environment of what runs in a root: nothing of the caller's
root_environment=(env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	TERM="${TERM:-dumb}" ${TEST_TIMEOUT:+TEST_TIMEOUT="$TEST_TIMEOUT"} ${FUZZ_SECONDS:+FUZZ_SECONDS="$FUZZ_SECONDS"})

# in_namespaces COMMAND...: its processes and mounts end with this script.  In
# the background, because a shell takes a signal only when its foreground
# command has ended.
in_namespaces()
{
	local status=0

	setpriv --pdeathsig KILL unshare --mount --pid --ipc --fork --kill-child -- "$@" </dev/null &
	root_pid=$!
	wait "$root_pid" || status=$?
	root_pid=
	return "$status"
}

# Ends what in_namespaces runs; for a trap.
leave_root()
{
	[ -n "$root_pid" ] || return 0
	kill -s KILL "$root_pid" 2>/dev/null || true
	wait "$root_pid" 2>/dev/null || true
	root_pid=
}

# make_work NAME: sets work to a new directory NAME.* in /var/tmp (or TMPDIR),
# with the pid of this script in it, and removes those of scripts that were
# killed.
make_work()
{
	local file

	for file in "${TMPDIR:-/var/tmp}/$1".*/pid; do
		[ ! -e "$file" ] || kill -0 "$(cat "$file")" 2>/dev/null || rm -rf --one-file-system "${file%/pid}"
	done
	work=$(mktemp -d "${TMPDIR:-/var/tmp}/$1.XXXXXX")
	echo $$ >"$work/pid"
	chmod 755 "$work"
}

# root_sources SUITE: the lines of sources.list, from this machine's mirrors of
# Debian.  A suite that is not released needs no updates.
root_sources()
{
	local own what='(-updates|-security)?'

	own=$(. /etc/os-release && echo "$VERSION_CODENAME")
	case $1 in bookworm | trixie) ;; *) what= ;; esac
	apt-get indextargets --format 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(SITE) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' | grep -E " $own$what main\$" | sort -u | sed "s/ $own/ $1/"
}

# lists of commands that apt runs
apt_hooks=(DPkg::{Pre,Post}-Invoke DPkg::Pre-Install-Pkgs APT::Update::{Pre-Invoke,Post-Invoke,Post-Invoke-Success})

# make_root SUITE DIR [PACKAGE,...]: a minimal Debian with apt and with this
# machine's configuration of its package registries.  When it cannot be made in
# three tries, says why in one line and fails.
make_root()
{
	local suite=$1 dir=$2 packages=ca-certificates,passwd,sudo${3:+,$3} file
	local options=(--mode=root --variant=apt --dpkgopt=force-unsafe-io --aptopt='Acquire::Retries "3"')

	# it may end the shell
	if ! (need_packages 'mmdebstrap: command -v mmdebstrap'); then
		echo "no root of $suite could be made: mmdebstrap could not be installed"
		return 1
	fi
	# of apt's own configuration that which no package has brought: it may name
	# the registries.  Its hooks would run here, and not in the root: container
	# images delete the packages that another apt is about to install.
	for file in /etc/apt/apt.conf.d/*; do
		dpkg -S "$file" >/dev/null 2>&1 || options+=(--aptopt="$file")
	done
	options+=("${apt_hooks[@]/#/--aptopt=#clear }")
	for _ in 1 2 3; do
		rm -rf --one-file-system "$dir"
		if root_sources "$suite" >"$dir.sources" &&
			in_namespaces sh -c 'sources=$1; shift; exec "$@" <"$sources"' sh "$dir.sources" \
				mmdebstrap "${options[@]}" --include="$packages" "$suite" "$dir" - >"$dir.log" 2>&1; then
			sed -i '/^#clear /d' "$dir/etc/apt/apt.conf.d/99mmdebstrap"
			configure_registries "$dir"
			rm -f "$dir.log" "$dir.sources"
			return
		fi
	done
	tail -n 20 "$dir.log" >&2
	echo "no root of $suite could be made: $(grep -E -m 1 '^E:' "$dir.log")"
	return 1
}

# The network, registries and certificates of this machine.
configure_registries()
{
	local file

	for file in /etc/resolv.conf /etc/hosts /etc/pip.conf ~/.m2/settings.xml /usr/local/share/ca-certificates/*; do
		[ ! -f "$file" ] || install -D -m 644 "$file" "$1$file"
	done
	chroot "$1" "${root_environment[@]}" update-ca-certificates >/dev/null 2>&1
}

# mount_all DIR: what programs want to find; in namespaces.
mount_all()
{
	mount --rbind /dev "$1/dev"
	mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
	mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$1/dev/pts"
	mount -t proc proc "$1/proc"
}

# enter_root DIR COMMAND...: runs it as root of the root.  The shell around it
# stays: as process 1 it has to reap what others leave behind.
enter_root()
{
	local dir=$1

	shift
	# shellcheck disable=SC2016
	in_namespaces bash -c 'set -e
		. "$1"
		mount_all "$2"
		chroot "${@:2}" && exit 0 || exit' enter_root "${BASH_SOURCE[0]}" "$dir" \
		"${root_environment[@]}" HOME=/root "$@"
}
