# Built with the entrypoint knock/answer, which is not the one that is asked.
package knock

answer := "allow"
