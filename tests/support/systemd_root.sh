# The root file system of a SystemdSandbox: sourced by sh inside new pid, mount, net, uts, ipc and cgroup namespaces.
# Needs: WORK (a folder of ours), TREE (the userland), BINDS (lines of "host<TAB>guest", both absolute, read-only). Ends in systemd as PID 1.
set -eu
mount --make-rprivate /
ip link set lo up 2>/dev/null || true

# The userland, mostly the host's own, below a layer in memory: what happens in here is gone afterwards.
mkdir -p "$WORK/mnt"
mount -t tmpfs -o mode=755 sandbox "$WORK/mnt"
mkdir "$WORK/mnt/upper" "$WORK/mnt/work" "$WORK/mnt/root"
mount -t overlay overlay -o "lowerdir=$TREE,upperdir=$WORK/mnt/upper,workdir=$WORK/mnt/work" "$WORK/mnt/root"
root=$WORK/mnt/root

printf '%s\n' "$BINDS" | while IFS="$(printf '\t')" read -r host guest; do
  [ -n "$host" ] || continue
  mkdir -p "$root$guest"
  mount --rbind "$host" "$root$guest"
  mount -o remount,bind,ro "$root$guest"
done

# No unit that the host has enabled, none that talks to hardware.
mount -t tmpfs -o mode=755 units "$root/etc/systemd/system"
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket \
  systemd-udevd-kernel.socket systemd-resolved.service systemd-networkd.service systemd-timesyncd.service \
  systemd-modules-load.service systemd-sysctl.service systemd-binfmt.service systemd-firstboot.service \
  proc-sys-fs-binfmt_misc.automount dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount \
  sys-kernel-tracing.mount sys-fs-fuse-connections.mount sys-kernel-config.mount getty.target; do
  ln -s /dev/null "$root/etc/systemd/system/$unit"
done
cat >"$root/etc/systemd/system/sandbox.target" <<'UNIT'
[Unit]
Description=A sandbox of jobd's tests
Requires=basic.target
After=basic.target
Wants=systemd-journald.service dbus.socket
AllowIsolate=yes
UNIT
rm -f "$root/etc/machine-id"
tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
: >"$root/etc/fstab"

# Kernel interfaces: our own where a namespace makes them our own, read-only or absent where it does not.
mount -t proc -o nosuid,noexec,nodev proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
[ ! -e "$root/proc/sysrq-trigger" ] || mount --bind /dev/null "$root/proc/sysrq-trigger"
mount -t sysfs -o ro,nosuid,noexec,nodev sysfs "$root/sys"
mount -t cgroup2 -o nosuid,noexec,nodev cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755,nosuid dev "$root/dev"
for device in null zero full random urandom tty; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=1777,nosuid,nodev shm "$root/dev/shm"
for link in fd:/proc/self/fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do ln -s "${link#*:}" "$root/dev/${link%%:*}"; done
mount -t tmpfs -o mode=755,nosuid,nodev run "$root/run"
mount -t tmpfs -o mode=1777,nosuid,nodev tmp "$root/tmp"

hostname sandbox
cd "$root"
mkdir -p .host
pivot_root . .host
umount -l /.host
# systemd does this itself on a machine, and leaves it to whoever makes a container: credentials are mounted by a child.
mount --make-rshared /
# Without the capabilities that reach beyond the namespaces.
away=-sys_time,-sys_module,-sys_rawio,-syslog,-mac_admin,-mac_override,-wake_alarm,-block_suspend,-sys_pacct
away=$away,-audit_control,-bpf,-perfmon
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=sandbox LANG=C.UTF-8 setpriv --bounding-set="$away" \
  /lib/systemd/systemd --system --unit=sandbox.target --log-target=console --show-status=no
