# Runs "$@" until it ends by itself or standard input is closed, which the kernel
# does when the parent dies, however it dies. Standard output is the lock of the data
# folder: held by everything here, so until the server is really gone.
umask 077
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
{ read -r _ <&3; kill "$server"; } 2>/dev/null &
watcher=$!
wait "$server"
status=$?
# Waited for, because it holds the lock too.
kill -KILL "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
exit "$status"
