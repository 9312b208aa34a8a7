# Runs one unit of Redis' own tests against a Forebay with a Redis behind it, and prints what became of each test.
#
#     tclsh driver.tcl PORT STORE-PORT UNIT SKIPPED      (in the root of Redis' sources)
#
# SKIPPED is a file with the names of tests that are passed over, one per line. What is printed is said in
# ../redis-tcl/results.tcl.
#
# Two things are changed. Results are printed instead of being sent to a second Tcl process. And CONFIG, DEBUG and INFO,
# which concern the server that keeps the data, go to that server: an operator would ask it directly, too.

lassign $argv interop_port interop_store interop_unit interop_skipped
source [file join [file dirname [info script]] .. redis-tcl results.tcl]

tcl_proc forebay_change_client {} {
    rename ::redis::__dispatch__raw__ ::redis::interop_send
    set ::interop_direct [redis 127.0.0.1 $::interop_store 0 0]
    tcl_proc ::redis::__dispatch__raw__ {id method arguments} {
        if {[string tolower $method] in {config debug info} && $::redis::blocking($id) && !$::redis::deferred($id)
            && "::redis::redisHandle$id" ne $::interop_direct} {
            return [$::interop_direct $method {*}$arguments]
        }
        uplevel 1 [list ::redis::interop_send $id $method $arguments]
    }
}

forebay_run $interop_port $interop_unit "-needs:repl -needs:reset -large-memory -slow" $interop_skipped
