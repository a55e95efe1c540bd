# Starts a systemd of its own as process 1 of its own namespaces, on a copy of this machine's files that vanishes with it.
# Run by `unshare` (booted.py), in a cgroup of its own: boot.sh FOLDER TTY TREE PYTHON.
# FOLDER/etc is copied over /etc; TREE is seen at /srv/invoices, Python's folder at /srv/python.
set -eu
folder=$1 tty=$2
mount --make-rprivate /
mount -t tmpfs tmpfs "$folder/root"
mkdir "$folder/root/changed" "$folder/root/work" "$folder/root/all"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/root/changed,workdir=$folder/root/work" "$folder/root/all"
all=$folder/root/all
mount -t proc proc "$all/proc"
# The kernel's settings are everybody's.
mount --bind "$all/proc/sys" "$all/proc/sys"
mount -o remount,ro,bind "$all/proc/sys"
mount -t sysfs -o ro sysfs "$all/sys"
mount -t cgroup2 cgroup2 "$all/sys/fs/cgroup"
for place in run tmp dev; do mount -t tmpfs tmpfs "$all/$place"; done
for device in null zero full random urandom tty; do
  touch "$all/dev/$device"
  mount --bind "/dev/$device" "$all/dev/$device"
done
mkdir "$all/dev/shm" "$all/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$all/dev/pts"
ln -s pts/ptmx "$all/dev/ptmx"
mount -t tmpfs tmpfs "$all/dev/shm"
touch "$all/dev/console"
mount --bind "$tty" "$all/dev/console"
# Nothing of this machine's own is started, but for the journal.
rm -rf "$all"/etc/systemd/system/* "$all"/etc/systemd/*.conf.d
find "$all"/lib/systemd/system/*.wants "$all"/usr/lib/systemd/system/*.wants -type l ! -name '*journald*' -delete
rm -f "$all"/lib/systemd/system-generators/* "$all"/usr/lib/systemd/system-generators/*
cp -r "$folder/etc/." "$all/etc/"
mkdir -p "$all/opt/invoices/bin" "$all/srv/invoices" "$all/srv/python"
mount --bind "$3" "$all/srv/invoices"
mount --bind "$4" "$all/srv/python"
cp "$folder/invoices" "$all/opt/invoices/bin/invoices"
cd "$all"
pivot_root . mnt
umount -l /mnt
# What is mounted for a unit's credentials has to reach that unit.
mount --make-rshared /
exec env -i container=invoices-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=basic.target --log-target=console --log-level=notice
