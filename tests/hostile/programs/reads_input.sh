# Reads standard input to its end.
cat
read -r line || echo "nothing to read"
