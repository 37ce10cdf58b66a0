#!/bin/sh
# Whether Linux guests run here at speed: the processor has virtualisation, and KVM may be used.
# A /dev/kvm without it emulates guests, some hundred times slower.
grep -qwE 'vmx|svm' /proc/cpuinfo && [ -r /dev/kvm ] && [ -w /dev/kvm ]
