# Closes its output and goes on working: end of file is not exit.
echo before
exec > /dev/null 2>&1
sleep 1.5
: > went_on
exit 3
