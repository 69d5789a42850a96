# Tries what a sandbox must refuse: intruder.sh FILE_OUTSIDE FOLDER_INSIDE. `port` holds a port of this machine.
attempt() {
    name=$1
    shift
    if "$@" 2> /dev/null; then echo "$name: done"; else echo "$name: refused"; fi
}
overwrite() { echo evil > "$1"; }
connect() { exec 3<> "/dev/tcp/127.0.0.1/$(< port)"; }
see_others() { [ "$(find /proc -maxdepth 1 -name '[0-9]*' | wc -l)" -gt 10 ]; }

attempt 'read outside' cat "$1"
attempt 'write outside' overwrite "$1"
attempt 'write beside it' overwrite "$1.new"
attempt 'write in /usr' overwrite /usr/evil
attempt 'write inside' overwrite "$2/inside"
attempt 'connect' connect
attempt 'see others' see_others
