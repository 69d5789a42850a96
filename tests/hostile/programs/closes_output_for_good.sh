# Closes its output and never exits.
exec >&- 2>&-
: > ready
exec sleep 60
