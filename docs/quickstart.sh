#!/bin/bash
# The whole way of a backup, shown on a sample volume: full, incremental, restore, an older point in time as files.
# Promises: everything is below state/quickstart and made anew by each run; whatever happens, nothing stays mounted,
# attached or running. What the machine does not permit (FUSE, loop devices) is said and done another way.
#
#   docs/quickstart.sh           run it (after `make build`; `make quickstart` does both)
#   docs/quickstart.sh --clean   stop it and remove what it left
set -Eeuo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C BASALT_SOCKET=state/quickstart/daemon/basaltd.sock
unset BASALT_PROJECT BASALT_OUTPUT_FORMAT

readonly folder=state/quickstart
readonly image=$folder/sample.img
readonly log=$folder/basaltd.log output=$folder/.output errors=$folder/.errors
readonly sample_mib_max=300 sample_mib_min=20
daemon_pid=
view_flags=

basaltd() { node dist/daemon/main.js "$@"; }
basaltctl() { node dist/client/main.js "$@"; }

# --- how it is told

now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }
say() { printf '   %s\n' "$@"; }
fail() {
  printf '\nquickstart: %s\n' "$1" >&2
  if (($# > 1)); then printf '%s\n' "${@:2}" >&2; fi
  exit 1
}

step_number=0
step() {
  step_number=$((step_number + 1))
  printf '\n%2d  %s\n\n' "$step_number" "$1"
}

# Seconds since $1, with one decimal.
seconds_since() {
  local ms=$(($(now_ms) - $1))
  printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
}

as_typed() {
  local word line=
  for word in "$@"; do
    if [[ $word == *' '* ]]; then word="'$word'"; fi
    line+="${line:+ }$word"
  done
  echo "$line"
}

# Shows a command line, runs it, shows its output and how long it took. On a terminal its progress bar is seen too.
run() {
  local began status=0
  say "\$ $(as_typed "$@")"
  began=$(now_ms)
  if [[ -t 2 ]]; then
    "$@" >"$output" || status=$?
  else
    "$@" >"$output" 2>"$errors" || status=$?
  fi
  sed 's/^/     /' "$output"
  if ((status != 0)); then
    [[ -t 2 ]] || sed 's/^/     /' "$errors" >&2
    fail "\"$*\" ended with status $status" "The log of the daemon is $log."
  fi
  say "($(seconds_since "$began"))"
}

mib_of() { awk -v bytes="$1" 'BEGIN { printf "%.1f MiB", bytes / 1048576 }'; }

# --- what may be left of this or an earlier run

# Mount points below the folder, the deepest first.
mounts_below() { awk -v below="$PWD/$folder/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r; }

stop_daemon() {
  local pid=$1
  kill "$pid" 2>/dev/null || return 0
  timeout 20 tail --pid="$pid" -s 0.1 -f /dev/null || kill -KILL "$pid" 2>/dev/null || true
}

tidy_up() {
  local pid mount file device
  if [[ -n $daemon_pid ]]; then stop_daemon "$daemon_pid"; fi
  daemon_pid=
  rm -f "$output" "$errors"
  if [[ -S $BASALT_SOCKET ]] && pid=$(basaltctl status -f value -c pid 2>/dev/null); then stop_daemon "$pid"; fi
  for mount in $(mounts_below); do umount "$mount" 2>/dev/null || umount -l "$mount" || true; done
  if command -v losetup >/dev/null; then
    for file in "$folder"/*.img; do
      [[ -e $file ]] || continue
      for device in $(losetup -n -O NAME -j "$file" 2>/dev/null); do losetup -d "$device" || true; done
    done
  fi
}

remove_folder() {
  tidy_up
  if [[ -n $(mounts_below) ]]; then fail "Cannot remove \"$folder\": something is still mounted below it"; fi
  rm -rf --one-file-system "$folder"
}

# --- the parts of the way

# Root makes loop devices and mounts, and basaltctl asks for it or for membership in the group of administrators.
become_root() {
  if ((EUID == 0)); then return; fi
  command -v sudo >/dev/null || fail 'This is not root, and there is no sudo.' \
    'basaltd mounts file systems and serves root: run "make quickstart" as root.'
  echo 'basaltd mounts file systems, which needs root: going on with sudo.'
  exec sudo env PATH="$PATH" docs/quickstart.sh "$@"
}

# Some of the machine's own programs, libraries and documents: real files of real sizes, a third of so many MiB each.
choose_files() {
  local mib=$1 from
  for from in usr/bin usr/lib usr/share; do
    find "/$from" -xdev -type f -readable -size +8k -size -16M ! -path $'*\n*' -printf "%s $from/%P\n" |
      awk -v left=$((mib * 1048576 / 3)) '{ if (left > $1) { left -= $1; print substr($0, length($1) + 2) } }'
  done
}

make_sample() {
  local began free_mib mib tree=$folder/tree count bytes
  began=$(now_ms)
  free_mib=$(($(stat -f -c '%a * %S / 1048576' "$folder")))
  mib=$((free_mib / 6 < sample_mib_max ? free_mib / 6 : sample_mib_max))
  ((mib >= sample_mib_min)) || fail "Only $free_mib MiB are free here: quickstart wants 2 GiB, and at least 150 MiB"
  mkdir "$tree"
  choose_files "$mib" >"$folder/chosen"
  tar -C / --no-recursion -T "$folder/chosen" -cf - | tar -C "$tree" --no-same-owner -xf -
  echo 'Monday: the first entry.' >"$tree/diary.txt"
  count=$(wc -l <"$folder/chosen")
  bytes=$(du -s --apparent-size -B1 "$tree" | cut -f1)
  say "Copied $count files of this machine, $(mib_of "$bytes"), to $tree ($(seconds_since "$began"))." ''
  run truncate -s "$((mib * 2 + 40))M" "$image"
  run mkfs.ext4 -q -d "$tree" "$image"
  rm -rf "$tree" "$folder/chosen"
}

# Where FUSE is not permitted the daemon says so and does not start: then it is started without the view.
start_daemon() {
  local began flags=(--state-dir "$folder/daemon")
  for view_flags in '' '--view-dir none'; do
    # shellcheck disable=SC2206
    local words=("${flags[@]}" $view_flags)
    say "\$ basaltd ${words[*]} >$log 2>&1 &"
    began=$(now_ms)
    node dist/daemon/main.js "${words[@]}" >"$log" 2>&1 </dev/null &
    daemon_pid=$!
    until grep -q '"msg":"Ready"' "$log"; do
      if ! kill -0 "$daemon_pid" 2>/dev/null; then
        wait "$daemon_pid" || true
        daemon_pid=
        break
      fi
      (($(now_ms) - began < 30000)) || fail 'The daemon does not get ready' "Its log is $log."
      sleep 0.05
    done
    if [[ -n $daemon_pid ]]; then
      say "(ready after $(seconds_since "$began"); its log is $log)"
      return
    fi
    grep '^basaltd: ' "$log" | sed 's/^/     /' || true
    grep -q '^basaltd: Cannot mount the view' "$log" || fail 'The daemon does not start' "Its log is $log."
    say 'LEFT OUT: the view, because FUSE is not permitted here. Once more without it:' ''
  done
}

loop_refusal=
# Whether a loop device of the sample can be made and mounted; where not, the reason goes to loop_refusal.
can_loop() {
  mkdir -p "$folder/live"
  if loop_refusal=$(mount -o loop "$image" "$folder/live" 2>&1); then
    umount "$folder/live"
    wait_for_loops
  else
    loop_refusal=$(head -n 1 <<<"${loop_refusal:-mount of a loop device failed}")
    return 1
  fi
}

# The kernel gives a loop device back a moment after its unmount.
wait_for_loops() {
  local began
  began=$(now_ms)
  while [[ -n $(losetup -n -O NAME -j "$image") ]]; do
    (($(now_ms) - began < 10000)) || fail "Something holds the loop device of \"$image\""
    sleep 0.05
  done
}

append_diary() { echo 'Tuesday: the second entry.' >>"$1"; }

change_by_mount() {
  local largest
  run mount -o loop "$image" "$folder/live"
  say "\$ echo 'Tuesday: the second entry.' >>$folder/live/diary.txt"
  append_diary "$folder/live/diary.txt"
  largest=$(find "$folder/live/usr" -type f -printf '%s %p\n' | sort -rn | sed -n '1s/^[0-9]* //p')
  say "\$ rm $largest" "\$ head -c 4M /dev/urandom >$folder/live/new.bin"
  rm "$largest"
  head -c 4M /dev/urandom >"$folder/live/new.bin"
  run umount "$folder/live"
  wait_for_loops
}

change_by_debugfs() {
  printf 'Monday: the first entry.\nTuesday: the second entry.\n' >"$folder/diary.txt"
  head -c 4M /dev/urandom >"$folder/new.bin"
  say 'LEFT OUT: a mount of the volume, because loop devices are not permitted here:' "  $loop_refusal" \
    'debugfs of e2fsprogs changes the file system in the image instead.'
  printf '%s\n' 'rm diary.txt' "write $folder/diary.txt diary.txt" "write $folder/new.bin new.bin" >"$folder/changes"
  run debugfs -w -f "$folder/changes" "$image"
}

older_by_mount() {
  mkdir -p "$folder/monday"
  run basaltctl mount monday "$folder/monday" -c directory -c kind -c file_system
  run ls "$folder/monday"
  run cat "$folder/monday/diary.txt"
  older=$(cat "$folder/monday/diary.txt")
  run basaltctl unmount "$folder/monday"
}

# Without FUSE a restore makes an image.
older_by_debugfs() {
  local older_image=$folder/monday.img
  say 'LEFT OUT: basaltctl mount, which needs FUSE. A restore of Monday shows the same.'
  run basaltctl backup restore monday "$older_image" --wait -c restored_bytes
  run debugfs -R 'ls -p /' "$older_image"
  run debugfs -R 'cat /diary.txt' "$older_image"
  older=$(debugfs -R 'cat /diary.txt' "$older_image" 2>/dev/null)
}

show_backup=(-c status -c size_bytes -c read_bytes -c zero_bytes -c stored_bytes)

the_way() {
  step 'Make a volume to protect: a disk image with an ext4 file system of real files'
  make_sample

  step 'Start the daemon. All that it keeps is in one folder, the repository too'
  start_daemon
  run basaltctl repository init -c url -c kind -c block_bytes -c status

  step 'Tell it what to protect'
  run basaltctl volume add sample "$image" -c name -c source -c size_bytes

  step 'Monday: a full backup. Zeros and holes are neither read nor stored, the rest is compressed'
  run basaltctl backup create sample --name monday --wait "${show_backup[@]}"

  step 'Files change'
  if can_loop; then change_by_mount; else change_by_debugfs; fi

  step 'Tuesday: an incremental backup stores only what is new'
  run basaltctl backup create sample --incremental --name tuesday --wait "${show_backup[@]}"
  run basaltctl backup list -c name -c status -c size_bytes -c is_incremental -c stored_bytes

  step 'Restore Tuesday to a new volume, and compare it with the original byte by byte'
  run basaltctl backup restore tuesday "$folder/restored.img" --wait -c restored_bytes -c written_bytes -c zeroed_bytes
  run cmp "$image" "$folder/restored.img"
  say "The same: all $(mib_of "$(stat -c %s "$image")")."

  step 'Look into Monday: the older point in time, as files'
  if [[ $view_flags == '' ]]; then older_by_mount; else older_by_debugfs; fi
  [[ $older == 'Monday: the first entry.' ]] || fail "Monday's diary reads \"$older\""
  say 'The entry of Tuesday is not there: this is the volume as it was on Monday. Tuesday has it:'
  run debugfs -R 'cat /diary.txt' "$folder/restored.img"

  step 'Verify: read and check every byte of both'
  run basaltctl backup verify monday
  run basaltctl backup verify tuesday
  run basaltctl repository stats -c backups -c blocks -c volume_bytes -c stored_bytes

  step 'Stop the daemon'
  say "\$ kill $daemon_pid"
  local began
  began=$(now_ms)
  stop_daemon "$daemon_pid"
  wait "$daemon_pid" || fail "The daemon ended with status $?" "Its log is $log."
  daemon_pid=
  [[ -z $(mounts_below) ]] || fail 'The daemon left something mounted'
  say "(stopped after $(seconds_since "$began"), nothing is left mounted)"
}

what_next() {
  local as_root='' words="--state-dir $folder/daemon" look="mount monday $folder/monday"
  if [[ -n ${SUDO_USER-} ]]; then as_root='sudo '; fi
  if [[ $view_flags != '' ]]; then words="$words $view_flags"; fi
  if [[ $view_flags != '' ]]; then look="backup restore monday $folder/again.img --wait"; fi
  cat <<END

Done in $(seconds_since "$1"). The repository and both backups are still in $folder. Try next, from this folder:

   ${as_root}node dist/daemon/main.js $words >>$log 2>&1 & sleep 1
   ${as_root}node dist/client/main.js --socket $BASALT_SOCKET backup diff monday tuesday
   ${as_root}node dist/client/main.js --socket $BASALT_SOCKET $look

README.md has the other commands. "make clean" stops the daemon and removes all of it.
END
}

# --- begin

if [[ ${1-} == --clean ]]; then
  [[ -e $folder ]] || exit 0
  become_root "$@"
  remove_folder
  rmdir --ignore-fail-on-non-empty state
  exit 0
fi
[[ -e dist/daemon/main.js && -e native/build/Release/basalt_native.node ]] ||
  fail 'Basalt is not built yet.' 'Run: make quickstart'
become_root "$@"
began_ms=$(now_ms)
trap tidy_up EXIT
trap 'exit 130' INT TERM HUP

cat <<END
Basalt quickstart

What is shown with \$ is what you would type in this folder, with these names for the two programs:
   basaltd     node dist/daemon/main.js
   basaltctl   node dist/client/main.js --socket $BASALT_SOCKET
Everything happens in $folder; what an earlier run left there is removed first.
END
remove_folder
mkdir -p "$folder"
the_way
what_next "$began_ms"
