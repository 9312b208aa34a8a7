# Runs one unit of Redis' own tests against a Forebay with a Redis behind it, and prints what became of each test.
#
#     tclsh driver.tcl PORT STORE-PORT UNIT SKIPPED      (in the root of Redis' sources)
#
# SKIPPED is a file with the names of tests that are passed over, one per line. What is printed is said in
# ../redis-tcl/results.tcl.
#
# Three things are changed. Results are printed instead of being sent to a second Tcl process. CONFIG, DEBUG and INFO,
# which concern the server that keeps the data, go to that server: an operator would ask it directly, too. And a request
# that blocks is at that server before the test goes on: the tests take it for granted that what one connection sends first
# comes first, which two connections through anything do not have.

lassign $argv interop_port interop_store interop_unit interop_skipped
source [file join [file dirname [info script]] .. redis-tcl results.tcl]

set interop_blocking {blpop brpop blmove brpoplpush blmpop bzpopmin bzpopmax bzmpop xread xreadgroup}
set interop_patience_ms 1000 ;# for what neither blocks nor is answered: it waits behind one that blocks

tcl_proc interop_blocked {} {
    regexp {blocked_clients:(\d+)} [$::interop_direct info clients] _ count
    return $count
}

# Until the server has one more client that waits than `before`, or an answer is there.
tcl_proc interop_settle {id before} {
    set fd $::redis::fd($id)
    set end [expr {[clock milliseconds] + $::interop_patience_ms}]
    fileevent $fd readable [list fileevent $fd readable {}]
    while {[fileevent $fd readable] ne {} && [interop_blocked] <= $before && [clock milliseconds] < $end} {
        update
    }
    fileevent $fd readable {}
}

tcl_proc forebay_change_client {} {
    rename ::redis::__dispatch__raw__ ::redis::interop_send
    set ::interop_direct [redis 127.0.0.1 $::interop_store 0 0]
    tcl_proc ::redis::__dispatch__raw__ {id method arguments} {
        if {[string tolower $method] in {config debug info} && $::redis::blocking($id) && !$::redis::deferred($id)
            && "::redis::redisHandle$id" ne $::interop_direct} {
            return [$::interop_direct $method {*}$arguments]
        }
        if {!$::redis::deferred($id) || [string tolower $method] ni $::interop_blocking} {
            return [uplevel 1 [list ::redis::interop_send $id $method $arguments]]
        }
        set before [interop_blocked]
        uplevel 1 [list ::redis::interop_send $id $method $arguments]
        interop_settle $id $before
    }
}

forebay_run $interop_port $interop_unit "-needs:repl -needs:reset -large-memory -slow" $interop_skipped
