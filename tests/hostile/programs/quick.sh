# Over in no time, and leaves a child.
echo started >> starts
setsid sleep 60 &
