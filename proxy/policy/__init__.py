"""The decision.

    permit · decision · input · scalars      the nouns: proof, answer, question, what an engine may be shown
    fields · shown                           the input by its fields, and as much of it as a policy reads
    memo                                     answers that are given again
    authorize · audit                        a request's decision, and its record
    allow                                    what the config's `allow` is to the default policy
    engine · embedded · sources              what evaluates, and the files it evaluates
    opa · opa_api · bundles                  a server that evaluates, and what of its policy can be proven
    reading · spelling · outputs · apart     the files as regorus can parse them
    analysis · modules · syntax · calls · callgraph · modifiers · scope · safety · negation · patterns
    reads · determinism                      what is known of a policy before it is served
    builtins · globs                         which built-ins may be called, and those that are ours
    testing                                  `test_` rules under the engine that serves

Only this room makes a `Permit`, and forwarding takes one: a request that nobody decided does not type-check.
"""
