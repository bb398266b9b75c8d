#!/bin/sh
# What busybox udhcpc calls with a lease; its answers are in the environment.
metric=$((100 + $(cat "/sys/class/net/$interface/ifindex")))
case $1 in
  deconfig)
    ip -4 addr flush dev "$interface" scope global
    ip link set "$interface" up ;;
  bound|renew)
    [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
    if ! ip -4 addr show dev "$interface" | grep -q "inet $ip/$mask "; then
      ip -4 addr flush dev "$interface" scope global
      ip addr add "$ip/$mask" broadcast + dev "$interface"
    fi
    for gateway in $router; do
      ip route replace default via "$gateway" dev "$interface" metric $metric
      break
    done
    [ -n "$domain" ] && echo "search $domain" > /run/resolv.conf.new
    for server in $dns; do echo "nameserver $server" >> /run/resolv.conf.new; done
    [ -e /run/resolv.conf.new ] && mv /run/resolv.conf.new /run/resolv.conf ;;
esac
exit 0
