# Says that it has started, and stays.
echo started >> starts
: > ready
exec sleep 60
