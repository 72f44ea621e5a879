# A short tour of the machine's memory. Run it with: sh /etc/tour.sh
echo "--- who runs, and on how much memory"
ps
free
echo "--- a program that touches 64 fresh pages, then one that only reads them"
touch-pages 64
touch-pages 64 ro
echo "--- what it had mapped"
maps
echo "--- the last faults: who, where, why, and what was done"
faults 10
echo "--- a program that goes wrong ends with one line that says why"
crash null
echo "--- the counters of page faults"
stat fault
