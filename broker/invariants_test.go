package broker

import "github.com/millrace/millrace/internal/invariant"

const invariantsEnabled = invariant.Enabled
