#!/bin/bash
# Runs in the machine: one row of bench/files.py on one file system.
#
#   rows.sh prepare FOLDER            what rows need there: a tree, a repository
#   rows.sh measure FOLDER ROW CPU    prints the microseconds that it took on that processor
set -euo pipefail
export LC_ALL=C GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
folder=$2 row=${3:-} processor=${4:-0}
here=/opt/bench

drop() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
}

# $@: a command. Prints its time.
measure() {
	local start=$EPOCHREALTIME end
	"$@" >/tmp/said 2>&1 || { cat /tmp/said >&2; exit 1; }
	end=$EPOCHREALTIME
	printf '%d\n' $((${end/./} - ${start/./}))
}

# $1: rw=…; the time is what fio says, as its own start takes long.
random() {
	drop
	"$here/fio/ld.so" --library-path "$here/fio" "$here/fio/fio" --name=random --filename="$folder/random" --rw="$1" \
		--bs=4k --size=64M --io_size=24M --ioengine=psync --norandommap --output-format=terse --terse-version=3 >/tmp/said
	# Fields 9 and 50: run time in ms of what was read and written.
	awk -F ';' '{ printf "%d\n", ($9 + $50) * 1000 }' /tmp/said
}

compile() {
	local file
	for file in error file log spawn text time; do
		gcc -std=gnu11 -D_GNU_SOURCE -O1 -I "$folder/tree/src" -I "$folder/tree/include" -c -o "$folder/objects/$file.o" \
			"$folder/tree/src/base/$file.c"
	done
}

prepare() {
	mkdir -p "$folder/many" "$folder/objects"
	if [ ! -e "$folder/find" ]; then
		mkdir "$folder/find"
		"$here/many" tree "$folder/find" 50000
	fi
	[ -e "$folder/repository" ] || tar -xf "$here/repository.tar" -C "$folder"
	drop
	git -C "$folder/repository" status >/tmp/said # notes how the files look here
	dd if=/dev/zero of="$folder/random" bs=1M count=64 2>/tmp/said
}

case $1 in
prepare) prepare; exit ;;
esac
taskset -c -p "$processor" $$ >/tmp/said
case $row in
write) rm -f "$folder/big"; drop; measure dd if=/dev/zero of="$folder/big" bs=1M count=512 ;;
read) drop; measure dd if="$folder/big" of=/dev/null bs=1M ;;
randread | randwrite) random "$row" ;;
create) measure "$here/many" create "$folder/many" 5000 ;;
stat) drop; measure "$here/many" stat "$folder/many" 5000 ;;
list) drop; measure "$here/many" list "$folder/many" 5000 ;;
unlink) drop; measure "$here/many" unlink "$folder/many" 5000 ;;
find) drop; measure find "$folder/find" -name none ;;
status) drop; measure git -C "$folder/repository" status ;;
untar) rm -rf "$folder/tree"; mkdir "$folder/tree"; measure tar -xf "$here/source.tar" -C "$folder/tree" ;;
compile) measure compile ;;
esac
