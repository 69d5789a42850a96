# Asks for a password at the terminal.
exec < /dev/tty > /dev/tty || exit 5
printf 'Password: '
read -rs password
echo "got $password"
