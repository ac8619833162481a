#!/bin/sh
# Make a certificate authority for the inner services, and a certificate for each name given. Run once, as root, with the folder as the first argument:
#   make_certificates.sh /certificates postgres nats-1 nats-2
# The key of the authority is not kept: to add a name, remove the folder's files and run it again.
set -eu
folder=$1
shift
[ ! -e "$folder/ca.pem" ] || exit 0
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=timim inner services" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign" -keyout "$work/ca.key" -out "$work/ca.pem"
for name in "$@"; do
    case $name in [0-9]*) kind=IP ;; *) kind=DNS ;; esac
    printf 'subjectAltName=%s:%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$kind" "$name" > "$work/extensions"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" -keyout "$folder/$name.key" -out "$work/request"
    openssl x509 -req -in "$work/request" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 3650 \
        -extfile "$work/extensions" -out "$folder/$name.pem"
    chmod 644 "$folder/$name.pem"
done
cp "$work/ca.pem" "$folder/ca.pem"
chmod 644 "$folder/ca.pem"
