#!/bin/sh
# What busybox udhcpc calls with a lease.  Its answers are in the environment.
export PATH=/bin

# The interface number makes the first card's default route the preferred one.
metric=$((100 + $(cat /sys/class/net/$interface/ifindex)))

case $1 in
  deconfig)
    ip addr flush dev $interface scope global
    ip link set $interface up ;;
  bound|renew)
    [ -n "$mtu" ] && ip link set $interface mtu $mtu
    if ! ip -4 addr show dev $interface | grep -q "inet $ip/$mask "; then
      ip -4 addr flush dev $interface
      ip addr add $ip/$mask broadcast + dev $interface
    fi
    if [ -n "$staticroutes" ]; then
      # option 121 replaces option 3 (RFC 3442); gateways may need an on-link route, so those first
      set -- $staticroutes
      while [ $# -ge 2 ]; do
        [ $2 = 0.0.0.0 ] && ip route replace $1 dev $interface metric $metric
        shift 2
      done
      set -- $staticroutes
      while [ $# -ge 2 ]; do
        [ $2 != 0.0.0.0 ] && ip route replace $1 via $2 dev $interface metric $metric
        shift 2
      done
    else
      for gateway in $router; do
        ip route replace default via $gateway dev $interface metric $metric
        break
      done
    fi
    # Routes of the lease before that this one no longer has.
    : > /run/dhcp/$interface.new
    set -- $staticroutes
    while [ $# -ge 2 ]; do echo "$1" >> /run/dhcp/$interface.new; shift 2; done
    for old in $(cat /run/dhcp/$interface.routes 2> /dev/null); do
      grep -qxF "$old" /run/dhcp/$interface.new || ip route del $old dev $interface metric $metric
    done
    mv /run/dhcp/$interface.new /run/dhcp/$interface.routes
    : > /run/dhcp/$interface.dns
    [ -n "$domain" ] && echo "search $domain" >> /run/dhcp/$interface.dns
    for server in $dns; do echo "nameserver $server" >> /run/dhcp/$interface.dns; done
    cat /run/dhcp/*.dns > /run/dhcp/new
    mv /run/dhcp/new /run/resolv.conf
    if [ ! -e /run/dhcp/$interface.$ip ]; then
      : > /run/dhcp/$interface.$ip
      echo "mini: net $interface $ip/$mask" > /dev/console
    fi ;;
esac
